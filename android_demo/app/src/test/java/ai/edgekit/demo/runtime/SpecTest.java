package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import org.junit.Test;

/** Specs are read, and refused, as Python reads and refuses them. */
public final class SpecTest {
    @Test
    public void whatPythonAcceptsIsAccepted() throws Exception {
        for (Path file : Cases.files("specs", ".accepted.json")) {
            try {
                Spec.parse(Files.readAllBytes(file));
            } catch (SpecException error) {
                throw new AssertionError(file + ": " + error.getMessage());
            }
        }
    }

    @Test
    public void whatPythonRefusesIsRefusedInOneLine() throws Exception {
        for (Path file : Cases.files("specs", ".refused.json")) {
            byte[] document = Files.readAllBytes(file);
            String message = assertThrows(file.toString(), SpecException.class, () -> Spec.parse(document))
                    .getMessage();
            assertEquals(file + ": " + message, message, Spec.printable(message));
        }
    }

    @Test
    public void everyFieldIsRead() throws Exception {
        Spec spec = Spec.parse(Files.readAllBytes(Cases.made("specs/full.accepted.json")));
        assertEquals("image", spec.input.name);
        assertEquals(96, spec.input.height);
        assertEquals(128, spec.input.width);
        assertEquals(3, spec.input.channels);
        assertEquals("uint8", spec.input.dtype);
        assertEquals("NCHW", spec.input.layout);
        assertEquals(0.5, spec.input.quantization.scale, 0);
        assertEquals(3, spec.input.quantization.zeroPoint);
        assertEquals("bilinear", spec.preprocess.resize);
        assertEquals("center", spec.preprocess.crop.mode);
        assertEquals(0.875, spec.preprocess.crop.fraction, 0);
        assertEquals("round", spec.preprocess.crop.rounding);
        assertArrayEquals(new int[] {1, 2, 3}, spec.preprocess.crop.fill);
        assertEquals("ignore", spec.preprocess.orientation);
        assertEquals("BGR", spec.preprocess.channelOrder);
        assertArrayEquals(new double[] {127.5, 127.0, 1.5}, spec.preprocess.mean, 0);
        assertArrayEquals(new double[] {1, 2, 3}, spec.preprocess.std, 0);
        assertEquals("scores", spec.output.name);
        assertEquals("logits", spec.output.activation);
        assertEquals("int8", spec.output.dtype);
        assertEquals(0.00390625, spec.output.quantization.scale, 0);
        assertEquals(-128, spec.output.quantization.zeroPoint);
        assertEquals(1.5, spec.output.calibration.temperature, 0);
        assertEquals(0.25, spec.output.calibration.threshold, 0);
        assertEquals(Arrays.asList("Katze", "犬 \uD83D\uDC15", "other"), spec.labels);
        assertEquals("classification", spec.task);
        assertEquals("int8", spec.scheme);
        assertEquals("net.keras", spec.provenance.source);
        assertEquals(64, spec.provenance.sourceSha256.length());
        assertEquals(Arrays.asList("train", "convert"), spec.provenance.steps);
        assertEquals(Collections.singletonMap("keras", "3.15.1"), spec.provenance.tools);
        assertTrue(spec.provenance.calibrationSha256.startsWith("cdcd"));
        assertEquals(60.25, spec.provenance.trainedOn.std, 0);
        assertEquals(2, spec.golden.size());
        assertArrayEquals(new float[] {0.25f, 0.5f, 0.25f}, spec.golden.get(0).scores, 0);
        assertEquals("iVBORw0K", spec.golden.get(0).image);
        assertNull(spec.golden.get(0).pattern);
        assertEquals("noise", spec.golden.get(1).pattern);
        assertTrue(spec.golden.get(1).inputSha256.startsWith("0101"));
        assertEquals("inconclusive", spec.verdict.outcome);
        assertTrue(spec.verdict.modelSha256.startsWith("2323"));
        assertEquals(467, spec.verdict.images);
        assertEquals(0.25, spec.verdict.figures.get("drop"), 0);
        assertEquals(Collections.singletonMap("max_drop", 1.0), spec.verdict.gate);
    }

    @Test
    public void whatIsLeftOutHasItsDefault() throws Exception {
        Spec spec = Spec.parse(Files.readAllBytes(Cases.made("specs/smallest.accepted.json")));
        assertEquals("NHWC", spec.input.layout);
        assertNull(spec.input.quantization);
        assertEquals("none", spec.preprocess.crop.mode);
        assertEquals(1, spec.preprocess.crop.fraction, 0);
        assertEquals("RGB", spec.preprocess.channelOrder);
        assertArrayEquals(new double[] {1, 1, 1}, spec.preprocess.std, 0);
        assertEquals("float32", spec.output.dtype);
        assertEquals(1, spec.output.calibration.temperature, 0);
        assertNull(spec.output.calibration.threshold);
        assertEquals("none", spec.scheme);
        assertTrue(spec.golden.isEmpty());
        assertNull(spec.verdict);
    }

    @Test
    public void aHugeDocumentIsRefusedBeforeItIsRead() {
        byte[] document = new byte[Spec.MAX_JSON_BYTES + 1];
        Arrays.fill(document, (byte) ' ');
        String message = assertThrows(SpecException.class, () -> Spec.parse(document)).getMessage();
        assertTrue(message, message.contains("larger than 32 MB"));
    }

    @Test
    public void namesInMessagesArePrintable() {
        byte[] document = "{\"edgekit\": 1, \"\\u001b[31m\\u202e\": 1}".getBytes(StandardCharsets.UTF_8);
        String message = assertThrows(SpecException.class, () -> Spec.parse(document)).getMessage();
        assertFalse(message, message.contains("\u001b") || message.contains("\u202e"));
        assertEquals("a\ufffd[31m\ufffdb\ufffd \uD83D\uDC15", Spec.printable("a\u001b[31m\u202eb\n \uD83D\uDC15"));
    }
}
