package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.BeforeClass;
import org.junit.Test;

/** The golden vectors of tests/fixtures/preprocess (its make.py says what is in them), to the byte. */
public final class PreprocessTest {
    private static byte[] data;
    private static Map<?, ?> arrays;
    private static List<?> cases;

    @BeforeClass
    public static void read() throws Exception {
        data = Files.readAllBytes(Cases.fixtures("preprocess/data.bin"));
        Map<?, ?> index = Cases.json(Cases.fixtures("preprocess/index.json"));
        arrays = (Map<?, ?>) index.get("arrays");
        cases = Cases.list(index.get("cases"));
    }

    @Test
    public void everyGoldenVectorIsReproduced() throws Exception {
        Map<String, Integer> seen = new HashMap<>();
        for (Object entry : cases) {
            Map<?, ?> one = (Map<?, ?>) entry;
            String function = (String) one.get("function");
            check((String) one.get("name"), function, one, (Map<?, ?>) one.get("arguments"));
            seen.merge(function, 1, Integer::sum);
        }
        assertEquals("every function has cases: " + seen, 7, seen.size());
        assertEquals(cases.size(), seen.values().stream().mapToInt(Integer::intValue).sum());
    }

    private static void check(String name, String function, Map<?, ?> one, Map<?, ?> arguments) throws Exception {
        switch (function) {
            case "taps":
                checkTaps(name, arguments, (Map<?, ?>) one.get("value"));
                break;
            case "crop_box":
                Box box = Box.of(Cases.whole(arguments, "height"), Cases.whole(arguments, "width"),
                        Cases.spec((Map<?, ?>) arguments.get("spec")));
                assertArrayEquals(name, Cases.wholes(one.get("value")),
                        new int[] {box.top, box.left, box.height, box.width});
                break;
            case "pattern":
                int[] made = Patterns.argb((String) arguments.get("name"), Cases.whole(arguments, "height"),
                        Cases.whole(arguments, "width"));
                assertEquals(name, one.get("sha256"), ModelFile.sha256(ByteBuffer.wrap(rgb(made))));
                break;
            case "resize":
                DecodedImage image = image(input(one, 0));
                Spec spec = Cases.plainSpec(Cases.whole(arguments, "height"), Cases.whole(arguments, "width"),
                        (String) arguments.get("kernel"), "none");
                checkTensor(name, one, prepared(spec, image));
                break;
            case "rotate":
                checkTensor(name, one, rotated(image(input(one, 0)), Cases.whole(arguments, "degrees")));
                break;
            case "yuv420_to_rgb":
                checkTensor(name, one, converted(frame(one, arguments)));
                break;
            case "prepare":
                checkTensor(name, one, prepared(Cases.spec((Map<?, ?>) arguments.get("spec")), image(input(one, 0))));
                break;
            default:
                throw new AssertionError(function);
        }
    }

    private static void checkTaps(String name, Map<?, ?> arguments, Map<?, ?> value) {
        int size = Cases.whole(arguments, "size_out");
        Taps taps = Taps.of(Cases.whole(arguments, "size_in"), size, (String) arguments.get("kernel"));
        assertArrayEquals(name, Cases.wholes(value.get("starts")), taps.starts);
        List<?> rows = Cases.list(value.get("weights"));
        for (int x = 0; x < size; x++) {
            int[] found = Arrays.copyOfRange(taps.weights, x * taps.longest, (x + 1) * taps.longest);
            assertArrayEquals(name, Cases.wholes(rows.get(x)), found);
        }
    }

    private static void checkTensor(String name, Map<?, ?> one, ByteBuffer found) {
        if (one.containsKey("offset")) {
            int offset = Cases.whole(one, "offset");
            assertArrayEquals(name, Arrays.copyOfRange(data, offset, offset + found.capacity()), Cases.bytes(found));
        }
        assertEquals(name, one.get("sha256"), ModelFile.sha256(found.duplicate()));
    }

    private static ByteBuffer prepared(Spec spec, DecodedImage image) {
        Preprocess preprocess = new Preprocess(spec);
        ByteBuffer tensor = ByteBuffer.allocateDirect(preprocess.inputBytes()).order(ByteOrder.nativeOrder());
        preprocess.image(image.argb, image.width, image.height, tensor);
        return tensor;
    }

    /** An image as it is, but turned: what the Resizer does for frames. */
    private static ByteBuffer rotated(DecodedImage image, int degrees) throws Exception {
        boolean upright = degrees % 180 == 0;
        Spec spec = Cases.plainSpec(upright ? image.height : image.width, upright ? image.width : image.height,
                "bilinear-aa", "none");
        ArgbLines lines = new ArgbLines();
        lines.set(image.argb, image.width);
        Resizer resizer = new Resizer(spec, image.height, image.width, degrees);
        resizer.run(lines);
        return Cases.direct(resizer.pixels);
    }

    private static ByteBuffer converted(Frame frame) throws Exception {
        Preprocess preprocess = new Preprocess(Cases.plainSpec(frame.height, frame.width, "nearest", "none"));
        ByteBuffer tensor = ByteBuffer.allocateDirect(preprocess.inputBytes());
        preprocess.frame(frame, tensor);
        return tensor;
    }

    private static Frame frame(Map<?, ?> one, Map<?, ?> arguments) {
        Frame frame = new Frame();
        frame.y = Cases.direct(stored(input(one, 0)));
        frame.u = Cases.direct(stored(input(one, 1)));
        frame.v = Cases.direct(stored(input(one, 2)));
        frame.height = Cases.whole(arguments, "height");
        frame.width = Cases.whole(arguments, "width");
        frame.yRowStride = Cases.whole(arguments, "y_row_stride");
        frame.uvRowStride = Cases.whole(arguments, "uv_row_stride");
        frame.uvPixelStride = Cases.whole(arguments, "uv_pixel_stride");
        return frame;
    }

    private static Map<?, ?> input(Map<?, ?> one, int number) {
        return (Map<?, ?>) arrays.get(Cases.list(one.get("inputs")).get(number));
    }

    private static byte[] stored(Map<?, ?> array) {
        int size = 1;
        for (int side : Cases.wholes(array.get("shape"))) {
            size *= side;
        }
        int offset = Cases.whole(array, "offset");
        return Arrays.copyOfRange(data, offset, offset + size);
    }

    private static DecodedImage image(Map<?, ?> array) {
        int[] shape = Cases.wholes(array.get("shape"));
        if (array.containsKey("pattern")) {
            int[] argb = Patterns.argb((String) array.get("pattern"), shape[0], shape[1]);
            return new DecodedImage(argb, shape[1], shape[0]);
        }
        byte[] bytes = stored(array);
        int[] argb = new int[shape[0] * shape[1]];
        for (int i = 0; i < argb.length; i++) {
            argb[i] = (bytes[3 * i] & 255) << 16 | (bytes[3 * i + 1] & 255) << 8 | bytes[3 * i + 2] & 255;
        }
        return new DecodedImage(argb, shape[1], shape[0]);
    }

    private static byte[] rgb(int[] argb) {
        byte[] bytes = new byte[3 * argb.length];
        for (int i = 0; i < argb.length; i++) {
            bytes[3 * i] = (byte) (argb[i] >> 16);
            bytes[3 * i + 1] = (byte) (argb[i] >> 8);
            bytes[3 * i + 2] = (byte) argb[i];
        }
        return bytes;
    }

    @Test
    public void impossibleFramesAreRefused() throws Exception {
        Preprocess preprocess = new Preprocess(Cases.plainSpec(4, 4, "nearest", "none"));
        ByteBuffer tensor = ByteBuffer.allocateDirect(preprocess.inputBytes());
        for (int wrong = 0; wrong < 9; wrong++) {
            Frame frame = new Frame();
            frame.y = ByteBuffer.allocateDirect(6 * 8);
            frame.u = ByteBuffer.allocateDirect(3 * 4);
            frame.v = ByteBuffer.allocateDirect(wrong == 0 ? 3 * 4 - 1 : 3 * 4);
            frame.width = wrong == 1 ? 0 : wrong == 2 ? 10 : 8;
            frame.height = wrong == 3 ? -1 : wrong == 4 ? 7 : 6;
            frame.yRowStride = wrong == 5 ? 7 : 8;
            frame.uvRowStride = wrong == 6 ? Integer.MAX_VALUE : 4;
            frame.uvPixelStride = wrong == 7 ? 0 : 1;
            frame.rotation = wrong == 8 ? 45 : 0;
            assertThrows("case " + wrong, ImageException.class, () -> preprocess.frame(frame, tensor));
        }
    }

    @Test
    public void imagesWithoutTheirPixelsAreRefused() throws Exception {
        Preprocess preprocess = new Preprocess(Cases.plainSpec(4, 4, "bilinear-aa", "pad"));
        ByteBuffer tensor = ByteBuffer.allocateDirect(preprocess.inputBytes());
        assertThrows(ImageException.class, () -> preprocess.image(new int[11], 4, 3, tensor));
        assertThrows(ImageException.class, () -> preprocess.image(new int[0], 0, 3, tensor));
        String message = assertThrows(ImageException.class,
                () -> preprocess.image(new int[1 << 20], 1 << 20, 1, tensor)).getMessage();
        assertTrue(message, message.contains("too many"));
        assertThrows(ImageException.class,
                () -> preprocess.image(new int[12], 4, 3, ByteBuffer.allocateDirect(preprocess.inputBytes() - 1)));
    }

    @Test
    public void oneObjectServesImagesOfAllSizesAndBuffers() throws Exception {
        Preprocess preprocess = new Preprocess(Cases.plainSpec(16, 16, "bilinear-aa", "center"));
        int[] large = Patterns.argb("noise", 40, 30);
        int[] small = Patterns.argb("noise", 9, 20);
        byte[][] found = new byte[4][];
        for (int i = 0; i < found.length; i++) {
            ByteBuffer tensor = ByteBuffer.allocateDirect(preprocess.inputBytes());
            if (i % 2 == 0) {
                preprocess.image(large, 30, 40, tensor);
            } else {
                preprocess.image(small, 20, 9, tensor);
            }
            found[i] = Cases.bytes(tensor);
        }
        assertArrayEquals(found[0], found[2]);
        assertArrayEquals(found[1], found[3]);
    }
}
