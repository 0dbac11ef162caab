package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertEquals;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.Test;

/** From a frame to the screen's rows nothing is allocated, once all sizes are known. */
public final class FrameAllocationTest {
    private static final int FRAMES = 20;

    @Test
    public void framesAllocateNothing() throws Exception {
        for (Path file : Cases.files("camera", ".spec.json")) {
            Spec spec = Spec.parse(Files.readAllBytes(file));
            Preprocess preprocess = new Preprocess(spec);
            ByteBuffer input = ByteBuffer.allocateDirect(preprocess.inputBytes()).order(ByteOrder.nativeOrder());
            Smoother smoother = new Smoother(2, 2, 1);
            Percentiles times = new Percentiles(50);
            float[] output = {0.25f, 0.75f};
            float[] scores = new float[2];
            Frame frame = frame();
            long allocated = 0;
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            long thread = Thread.currentThread().getId();
            for (int i = 0; i < 2 * FRAMES; i++) {
                if (i == FRAMES) { // the first half is to warm up
                    allocated = threads.getThreadAllocatedBytes(thread);
                }
                preprocess.frame(frame, input);
                Scores.fromOutput(output, spec.output, scores);
                smoother.update(scores, i);
                times.add(i);
                times.percentile(95);
            }
            assertEquals(file.toString(), 0, threads.getThreadAllocatedBytes(thread) - allocated);
        }
    }

    private static Frame frame() {
        Frame frame = new Frame();
        frame.width = 176;
        frame.height = 144;
        frame.yRowStride = 192;
        frame.uvRowStride = 192;
        frame.uvPixelStride = 2;
        frame.rotation = 90;
        frame.y = ByteBuffer.allocateDirect(192 * 144);
        frame.u = ByteBuffer.allocateDirect(192 * 72);
        frame.v = ByteBuffer.allocateDirect(192 * 72);
        return frame;
    }
}
