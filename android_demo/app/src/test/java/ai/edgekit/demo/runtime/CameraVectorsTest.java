package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import org.junit.Test;

/** Frames of all rotations and strides under many specs become the bytes that Python makes of them. */
public final class CameraVectorsTest {
    @Test
    public void everyFrameIsPreparedAsInPython() throws Exception {
        for (Path file : Cases.files("camera", ".vectors.json")) {
            String name = file.getFileName().toString();
            byte[] spec = Files.readAllBytes(file.resolveSibling(name.replace(".vectors.", ".spec.")));
            CameraVectors vectors = CameraVectors.parse(Files.readAllBytes(file));
            assertEquals(8, vectors.size());
            assertEquals(new String(spec, StandardCharsets.UTF_8), Collections.emptyList(),
                    vectors.wrong(Spec.parse(spec)));
        }
    }

    @Test
    public void whatIsPreparedOtherwiseIsNamed() throws Exception {
        Path file = Cases.files("camera", ".vectors.json").get(0);
        Spec spec = Spec.parse(Files.readAllBytes(Cases.files("camera", ".spec.json").get(0)));
        String vectors = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        String other = vectors.replace("\"seed\": 3,", "\"seed\": 33,").replace("\"seed\": 8,", "\"seed\": 88,");
        assertTrue(!other.equals(vectors));
        assertEquals(Arrays.asList(2, 7),
                CameraVectors.parse(other.getBytes(StandardCharsets.UTF_8)).wrong(spec));
    }

    @Test
    public void damagedVectorsAreRefused() {
        for (String text : new String[] {"", "[]", "{}", "{\"edgekit_camera_vectors\": 1}",
            "{\"edgekit_camera_vectors\": 2, \"vectors\": []}", "{\"edgekit_camera_vectors\": 1, \"vectors\": [{}]}",
            "{\"edgekit_camera_vectors\": 1, \"vectors\": [{\"width\": 99999999999}]}"}) {
            assertThrows(text, ModelFileException.class,
                    () -> CameraVectors.parse(text.getBytes(StandardCharsets.UTF_8)));
        }
    }
}
