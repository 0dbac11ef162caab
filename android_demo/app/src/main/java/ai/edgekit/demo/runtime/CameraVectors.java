package ai.edgekit.demo.runtime;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Camera frames made by arithmetic, and the digests of the inputs that they must become on every phone. */
public final class CameraVectors {
    private static final int FORMAT = 1;
    private static final int MAX_SIDE = 4096;
    private static final int MAX_PIXEL_STRIDE = 4;

    private final List<Frame> frames = new ArrayList<>();
    private final List<String> digests = new ArrayList<>();

    private CameraVectors() {}

    /** Reads camera_vectors.json, which `edgekit package android` makes for the model. */
    public static CameraVectors parse(byte[] json) throws ModelFileException {
        CameraVectors vectors = new CameraVectors();
        try {
            Map<?, ?> document = (Map<?, ?>) Json.parse(json);
            if (whole(document, "edgekit_camera_vectors", FORMAT) != FORMAT) {
                throw new ModelFileException("The camera vectors are of another version.");
            }
            for (Object entry : (List<?>) document.get("vectors")) {
                Map<?, ?> vector = (Map<?, ?>) entry;
                vectors.frames.add(frame(vector));
                vectors.digests.add((String) vector.get("input_sha256"));
            }
        } catch (ClassCastException | NullPointerException error) {
            throw new ModelFileException("The camera vectors are damaged.");
        }
        return vectors;
    }

    public int size() {
        return frames.size();
    }

    /** The numbers (from 0) of the frames that are not prepared as they must be. */
    public List<Integer> wrong(Spec spec) {
        Preprocess preprocess = new Preprocess(spec);
        ByteBuffer input = ByteBuffer.allocateDirect(preprocess.inputBytes());
        List<Integer> wrong = new ArrayList<>();
        for (int i = 0; i < frames.size(); i++) {
            preprocess.frame(frames.get(i), input);
            if (!ModelFile.sha256(input.duplicate()).equals(digests.get(i))) {
                wrong.add(i);
            }
        }
        return wrong;
    }

    private static Frame frame(Map<?, ?> vector) throws ModelFileException {
        Frame frame = new Frame();
        frame.width = (int) whole(vector, "width", MAX_SIDE);
        frame.height = (int) whole(vector, "height", MAX_SIDE);
        frame.rotation = (int) whole(vector, "rotation", 360);
        frame.yRowStride = (int) whole(vector, "y_row_stride", 2 * MAX_SIDE);
        frame.uvRowStride = (int) whole(vector, "uv_row_stride", 2 * MAX_SIDE);
        frame.uvPixelStride = (int) whole(vector, "uv_pixel_stride", MAX_PIXEL_STRIDE);
        int luma = (frame.height - 1) * frame.yRowStride + frame.width;
        int chroma = ((frame.height + 1) / 2 - 1) * frame.uvRowStride
                + ((frame.width + 1) / 2 - 1) * frame.uvPixelStride + 1;
        int seed = (int) whole(vector, "seed", 0xFFFFFFFFL);
        frame.y = noise(luma, seed + 1);
        frame.u = noise(chroma, seed + 1 + luma);
        frame.v = noise(chroma, seed + 1 + luma + chroma);
        return frame;
    }

    private static ByteBuffer noise(int bytes, int seed) {
        ByteBuffer plane = ByteBuffer.allocateDirect(bytes);
        for (int i = 0; i < bytes; i++) {
            plane.put(i, (byte) Patterns.noise(seed + i));
        }
        return plane;
    }

    private static long whole(Map<?, ?> object, String key, long most) throws ModelFileException {
        long number = ((Number) object.get(key)).longValue();
        if (number < 0 || number > most) {
            throw new ModelFileException("The camera vectors are damaged: " + key + " is " + number + ".");
        }
        return number;
    }
}
