package ai.edgekit.demo.runtime;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** Test data that Python made: in the repository's tests/fixtures, and in the folder that tests/android/ writes. */
final class Cases {
    private Cases() {}

    static Path fixtures(String name) {
        return Paths.get(System.getProperty("edgekit.fixtures"), name);
    }

    static Path made(String name) {
        return Paths.get(System.getProperty("edgekit.cases"), name);
    }

    /** All files with this ending in a folder that tests/android/ wrote; never none. */
    static List<Path> files(String folder, String ending) throws IOException {
        List<Path> files = new ArrayList<>();
        try (DirectoryStream<Path> stream = Files.newDirectoryStream(made(folder), "*" + ending)) {
            for (Path file : stream) {
                files.add(file);
            }
        }
        if (files.isEmpty()) {
            throw new IOException("no cases in " + made(folder));
        }
        Collections.sort(files);
        return files;
    }

    static Map<?, ?> json(Path file) throws Exception {
        return (Map<?, ?>) Json.parse(Files.readAllBytes(file));
    }

    static List<?> list(Object value) {
        return (List<?>) value;
    }

    static int whole(Map<?, ?> object, String key) {
        return ((Number) object.get(key)).intValue();
    }

    static int[] wholes(Object list) {
        int[] numbers = new int[list(list).size()];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = ((Number) list(list).get(i)).intValue();
        }
        return numbers;
    }

    static float[] floats(Object list) {
        float[] numbers = new float[list(list).size()];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = ((Number) list(list).get(i)).floatValue();
        }
        return numbers;
    }

    static Spec spec(Map<?, ?> document) throws SpecException {
        return SpecReader.read(document);
    }

    /** A spec that takes RGB bytes as they are. */
    static Spec plainSpec(int height, int width, String kernel, String crop) throws SpecException {
        String document = "{\"edgekit\": 1, \"input\": {\"name\": \"x\", \"height\": " + height + ", \"width\": "
                + width
                + ", \"channels\": 3, \"dtype\": \"uint8\", \"quantization\": {\"scale\": 1, \"zero_point\": 0}},"
                + " \"preprocess\": {\"resize\": \"" + kernel + "\", \"crop\": {\"mode\": \"" + crop + "\"}},"
                + " \"output\": {\"name\": \"y\", \"activation\": \"softmax\"}, \"labels\": [\"a\", \"b\"]}";
        return Spec.parse(document.getBytes(StandardCharsets.UTF_8));
    }

    static ByteBuffer direct(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(bytes.length);
        buffer.put(bytes);
        buffer.clear();
        return buffer;
    }

    static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.capacity()];
        ByteBuffer whole = buffer.duplicate();
        whole.clear();
        whole.get(bytes);
        return bytes;
    }
}
