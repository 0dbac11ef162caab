package ai.edgekit.demo.runtime;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** A frame of 1280×720 (NV21-like) to 224×224 RGB bytes, antialiased, by centre crop. */
@State(Scope.Thread)
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
public class FramePathBenchmark {
    private static final int WIDTH = 1280;
    private static final int HEIGHT = 720;
    private static final String SPEC = "{\"edgekit\": 1, \"input\": {\"name\": \"x\", \"height\": 224, \"width\": 224,"
            + " \"channels\": 3, \"dtype\": \"uint8\", \"quantization\": {\"scale\": 1, \"zero_point\": 0}},"
            + " \"preprocess\": {\"resize\": \"bilinear-aa\", \"crop\": {\"mode\": \"center\"}},"
            + " \"output\": {\"name\": \"y\", \"activation\": \"softmax\"}, \"labels\": [\"a\", \"b\"]}";

    @Param({"0", "90", "180", "270"})
    public int rotation;

    private final Frame frame = new Frame();
    private Spec spec;
    private Preprocess preprocess;
    private ByteBuffer input;

    @Setup
    public void setUp() throws Exception {
        spec = Spec.parse(SPEC.getBytes(StandardCharsets.UTF_8));
        preprocess = new Preprocess(spec);
        input = ByteBuffer.allocateDirect(preprocess.inputBytes());
        frame.width = WIDTH;
        frame.height = HEIGHT;
        frame.yRowStride = WIDTH;
        frame.uvRowStride = WIDTH;
        frame.uvPixelStride = 2;
        frame.rotation = rotation;
        frame.y = scene(WIDTH * HEIGHT);
        frame.u = scene(WIDTH * HEIGHT / 2 - 1);
        frame.v = scene(WIDTH * HEIGHT / 2 - 1);
        preprocess.frame(frame, input);
        String digest = ModelFile.sha256(input.duplicate());
        ThreeSteps.run(frame, spec, input);
        if (!digest.equals(ModelFile.sha256(input.duplicate()))) {
            throw new IllegalStateException("the two ways give different bytes");
        }
    }

    @Benchmark
    public ByteBuffer fused() {
        preprocess.frame(frame, input);
        return input;
    }

    @Benchmark
    public ByteBuffer threeSteps() {
        ThreeSteps.run(frame, spec, input);
        return input;
    }

    private static ByteBuffer scene(int bytes) {
        ByteBuffer plane = ByteBuffer.allocateDirect(bytes);
        for (int i = 0; i < bytes; i++) {
            plane.put(i, (byte) Patterns.noise(i));
        }
        return plane;
    }
}
