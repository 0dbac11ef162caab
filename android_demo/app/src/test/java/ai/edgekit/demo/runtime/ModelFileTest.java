package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import org.junit.Test;

/** Model files that tests/android/ made, good and hostile. */
public final class ModelFileTest {
    @Test
    public void digestAndVerdictArePythons() throws Exception {
        Map<?, ?> expected = Cases.json(Cases.made("models/expected.json"));
        for (Map.Entry<?, ?> entry : expected.entrySet()) {
            Map<?, ?> said = (Map<?, ?>) entry.getValue();
            try (FileChannel file = FileChannel.open(Cases.made("models/" + entry.getKey()))) {
                ModelFile model = ModelFile.read(file.map(FileChannel.MapMode.READ_ONLY, 0, file.size()));
                assertEquals(entry.getKey().toString(), said.get("digest"), model.digest);
                assertEquals(entry.getKey().toString(), said.get("verdict"), model.verdict());
                assertEquals(entry.getKey().toString(), Cases.whole(said, "nodes"), model.nodes);
                assertEquals(3, model.spec.labels.size());
                assertTrue(model.data.isDirect());
                assertEquals(ByteOrder.nativeOrder(), model.data.order());
                assertEquals(file.size(), model.data.remaining());
            }
        }
    }

    @Test
    public void whatPythonRefusesIsRefusedInOneLine() throws Exception {
        for (Path file : Cases.files("models", ".refused")) {
            ByteBuffer content = ByteBuffer.wrap(Files.readAllBytes(file));
            String message = assertThrows(file.toString(), ModelFileException.class, () -> ModelFile.read(content))
                    .getMessage();
            assertEquals(file + ": " + message, message, Spec.printable(message));
        }
    }

    @Test
    public void randomDamageIsReadOrRefused() throws Exception {
        byte[] good = Files.readAllBytes(Cases.made("models/good.tflite"));
        Random random = new Random(5);
        int refused = 0;
        for (int i = 0; i < 4000; i++) {
            byte[] bad = good.clone();
            for (int k = random.nextInt(4); k >= 0; k--) {
                int at = random.nextInt(bad.length);
                bad[at] = (byte) (random.nextBoolean() ? 0xFF : random.nextInt(256));
            }
            int length = random.nextInt(8) == 0 ? random.nextInt(bad.length) : bad.length;
            try {
                ModelFile.read(ByteBuffer.wrap(java.util.Arrays.copyOf(bad, length)));
            } catch (ModelFileException error) {
                refused++;
            }
        }
        assertTrue("refused " + refused, refused > 500 && refused < 4000);
    }
}
