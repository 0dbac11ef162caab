package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import ai.edgekit.demo.runtime.DelegateRun.Status;
import com.sun.management.ThreadMXBean;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.Test;
import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.gpu.GpuDelegate;
import org.tensorflow.lite.gpu.GpuDelegateFactory;
import org.tensorflow.lite.nnapi.NnApiDelegate;

/** Real models on the app's own native libraries: needs them, and a GPU or Mesa (tests/android/ says how). */
public final class DelegatesTest {
    private static final GoldenDecoder IMAGE_IO = new GoldenDecoder() {
        @Override
        public DecodedImage decode(byte[] png) throws Exception {
            BufferedImage image = ImageIO.read(new ByteArrayInputStream(png));
            int[] argb = image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
            return new DecodedImage(argb, image.getWidth(), image.getHeight());
        }
    };

    private static final SelfTest.Listener SILENT = new SelfTest.Listener() {
        @Override
        public void started(DelegateKind kind) {}

        @Override
        public void finished(DelegateRun run) {}
    };

    /** Real delegates, or what a test puts in their place. */
    private static class Delegates implements DelegateFactory {
        @Override
        public Delegate create(DelegateKind kind, ModelFile model) throws Exception {
            if (kind == DelegateKind.GPU) {
                GpuDelegate.Options options = new GpuDelegate.Options();
                options.setForceBackend(GpuDelegateFactory.Options.GpuBackend.OPENGL); // Mesa has no OpenCL here
                return new GpuDelegate(options);
            }
            NnApiDelegate.Options options = new NnApiDelegate.Options();
            options.setUseNnapiCpu(false);
            options.setMaxNumberOfDelegatedPartitions(1);
            return new NnApiDelegate(options);
        }
    }

    /** Notes what it is told, and says that one delegate crashed. */
    private static final class Marker implements CrashMarker {
        final List<String> notes = new ArrayList<>();
        DelegateKind crashed;

        @Override
        public boolean crashed(DelegateKind kind, String digest) {
            return kind == crashed;
        }

        @Override
        public void trying(DelegateKind kind, String digest) {
            notes.add("trying " + kind.id);
        }

        @Override
        public void done(DelegateKind kind, String digest) {
            notes.add("done " + kind.id);
        }
    }

    private static ModelFile model(String name) throws Exception {
        return ModelFile.read(Cases.direct(Files.readAllBytes(Cases.made("networks/" + name + ".tflite"))));
    }

    private static SelfTest.Result test(ModelFile model, DelegateFactory factory, CrashMarker marker) {
        return SelfTest.run(model, factory, IMAGE_IO, marker, 2, SILENT);
    }

    @Test
    public void everyDelegateIsProvedAndOneIsChosen() throws Exception {
        boolean nnapi = Boolean.getBoolean("edgekit.nnapi");
        for (Path file : Cases.files("networks", ".tflite")) {
            ModelFile model = ModelFile.read(Cases.direct(Files.readAllBytes(file)));
            SelfTest.Result result = test(model, new Delegates(), new Marker());
            StringBuilder said = new StringBuilder(file.getFileName().toString());
            for (DelegateRun run : result.runs) {
                said.append(", ").append(run.delegate.id).append(' ').append(run.status.id).append(' ')
                        .append(run.delegatedNodes).append('/').append(run.totalNodes).append(' ').append(run.detail);
            }
            assertEquals(said.toString(), Status.OK, result.runs.get(0).status);
            assertEquals(said.toString(), Status.OK, result.runs.get(1).status);
            assertTrue(said.toString(), result.runs.get(1).delegatedNodes > 1);
            if (nnapi && model.spec.scheme.equals("none")) {
                assertEquals(said.toString(), Status.OK, result.runs.get(2).status);
                assertEquals(said.toString(), model.nodes, result.runs.get(2).delegatedNodes);
            }
            if (!nnapi) {
                assertEquals(said.toString(), Status.FALLBACK, result.runs.get(2).status);
                assertEquals(said.toString(), 0, result.runs.get(2).delegatedNodes);
                assertFalse(said.toString(), result.chosen == DelegateKind.NNAPI);
            }
            assertTrue(said.toString(), result.chosen != null);
            for (DelegateRun run : result.runs.subList(0, 2)) {
                assertEquals(model.spec.golden.size(), run.answers.size());
                assertTrue(run.loadMs > 0 && run.p50Ms > 0 && run.p95Ms >= run.p50Ms && run.runs >= 3);
            }
        }
    }

    @Test
    public void nodesAreCounted() throws Exception {
        ModelFile model = model("none");
        try (Classifier plain = new Classifier(model, null, 1, false)) {
            assertEquals(model.nodes, plain.nodes());
            assertEquals(0, plain.delegatedNodes());
        }
        Delegate gpu = new Delegates().create(DelegateKind.GPU, model);
        try (Classifier whole = new Classifier(model, gpu, 1, false)) {
            assertEquals(model.nodes, whole.delegatedNodes());
        } finally {
            gpu.close();
        }
    }

    @Test
    public void aWrongDelegateIsNeverChosen() throws Exception {
        ModelFile model = model("int8"); // its golden images are PNG files; here they are decoded otherwise
        GoldenDecoder wrong = new GoldenDecoder() {
            @Override
            public DecodedImage decode(byte[] png) throws Exception {
                DecodedImage right = IMAGE_IO.decode(png);
                right.argb[0] ^= 1;
                return right;
            }
        };
        DelegateRun run = SelfTest.run(DelegateKind.GPU, model, new Delegates(), wrong, new Marker(), 2);
        assertEquals(run.detail, Status.WRONG, run.status);
        assertNull(new SelfTest.Result(Arrays.asList(run)).chosen);
    }

    @Test
    public void aModelThatAnswersOtherwiseIsWrong() throws Exception {
        DelegateRun run = SelfTest.run(DelegateKind.CPU, model("int8"), new Delegates(), IMAGE_IO, new Marker(), 2);
        assertEquals(Status.OK, run.status);
        ModelFile other = ModelFile.read(Cases.direct(Files.readAllBytes(Cases.made("other.tflite"))));
        run = SelfTest.run(DelegateKind.CPU, other, new Delegates(), IMAGE_IO, new Marker(), 2);
        assertEquals(Status.WRONG, run.status);
        assertTrue(run.detail, run.detail.contains("a score differs by"));
    }

    @Test
    public void whatIsUnavailableOrFailsOrCrashedIsShownAndTheOthersGoOn() throws Exception {
        Marker marker = new Marker();
        marker.crashed = DelegateKind.NNAPI;
        for (Throwable thrown : new Throwable[] {new UnavailableException("no GPU"), new IllegalStateException("bad"),
            new NoClassDefFoundError("gone"), new UnsatisfiedLinkError("missing")}) {
            marker.notes.clear();
            SelfTest.Result result = test(model("int8"), new DelegateFactory() {
                @Override
                public Delegate create(DelegateKind kind, ModelFile model) throws Exception {
                    if (thrown instanceof Error) {
                        throw (Error) thrown;
                    }
                    throw (Exception) thrown;
                }
            }, marker);
            assertEquals(Status.OK, result.runs.get(0).status);
            assertEquals(thrown instanceof UnavailableException ? Status.UNAVAILABLE : Status.FAILED,
                    result.runs.get(1).status);
            assertEquals(thrown.getMessage(), result.runs.get(1).detail);
            assertEquals(Status.CRASHED, result.runs.get(2).status);
            assertEquals(DelegateKind.CPU, result.chosen);
            assertEquals(Arrays.asList("trying cpu", "done cpu", "trying gpu", "done gpu"), marker.notes);
        }
    }

    /** TensorFlow Lite makes two small objects for each inference, a view and an iterator; edgekit none. */
    @Test
    public void classifyingAllocatesNextToNothing() throws Exception {
        ModelFile model = model("int8");
        Preprocess preprocess = new Preprocess(model.spec);
        int[] image = Patterns.argb("noise", 40, 50);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long thread = Thread.currentThread().getId();
        try (Classifier classifier = new Classifier(model, null, 1, true)) {
            long allocated = 0;
            for (int i = 0; i < 200; i++) {
                if (i == 100) {
                    allocated = threads.getThreadAllocatedBytes(thread);
                }
                preprocess.image(image, 50, 40, classifier.input);
                classifier.run();
            }
            long each = (threads.getThreadAllocatedBytes(thread) - allocated) / 100;
            assertTrue(each + " bytes", each <= 100);
        }
    }

    @Test
    public void aSpecOfAnotherModelIsRefused() throws Exception {
        for (Path file : Cases.files("misfits", ".tflite")) {
            assertThrows(file.toString(), ModelFileException.class, () -> {
                ModelFile model = ModelFile.read(Cases.direct(Files.readAllBytes(file)));
                new Classifier(model, null, 1, true).close();
            });
        }
    }

    @Test
    public void scoresAreTheSameEveryTime() throws Exception {
        ModelFile model = model("none");
        try (Classifier classifier = new Classifier(model, null, 2, true)) {
            new Preprocess(model.spec).image(Patterns.argb("checker", 8, 8), 8, 8, classifier.input);
            float[] first = classifier.run().clone();
            assertArrayEquals(first, classifier.run(), 0);
            assertTrue(Scores.areFinite(first));
        }
    }
}
