package ai.edgekit.demo;

import android.os.Handler;
import android.os.Looper;

import ai.edgekit.demo.runtime.Frame;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.ModelFileException;
import ai.edgekit.demo.runtime.Report;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Classifies generated camera frames as fast as it can, to see how the phone keeps its speed when it gets warm. Works
 * on a thread of its own and reports to the main thread.
 */
final class SustainedRun {
    private static final int WIDTH = 1280;
    private static final int HEIGHT = 720;
    private static final int SAMPLES = 60;

    private final DemoApplication app;
    private final ModelFile model;
    private final int seconds;
    private final Listener listener;
    private final Handler main = new Handler(Looper.getMainLooper());
    private volatile boolean stopped;

    /** Hears of the run on the main thread. */
    interface Listener {
        /** A sixtieth of the run, or a second, has passed. */
        void onSample(Report.Sample sample);

        /** The run is over and kept in the report. `error` is null, or why it ended early. */
        void onEnded(String error);
    }

    SustainedRun(DemoApplication app, ModelFile model, int seconds, Listener listener) {
        this.app = app;
        this.model = model;
        this.seconds = seconds;
        this.listener = listener;
    }

    /** Starts with the model's delegate in use. */
    void start() {
        new Thread("sustained") {
            @Override
            public void run() {
                String error = null;
                try (Engine engine = Engine.open(app, model)) {
                    measure(engine);
                } catch (NotReadyException | ModelFileException problem) {
                    error = String.valueOf(problem.getMessage());
                }
                end(error);
            }
        }.start();
    }

    /** Ends it early; what was measured is kept. */
    void stop() {
        stopped = true;
    }

    private void measure(Engine engine) throws ModelFileException {
        Frame frame = frame();
        List<Report.Sample> samples = new ArrayList<>();
        long every = Math.max(1, seconds / SAMPLES) * 1_000_000_000L;
        long start = System.nanoTime();
        long since = start;
        long inference = 0;
        int frames = 0;
        while (!stopped && since - start < seconds * 1_000_000_000L) {
            engine.classify(frame);
            inference += engine.inferenceNanos;
            frames++;
            long now = System.nanoTime();
            if (now - since >= every) {
                Report.Sample sample = new Report.Sample((int) Math.round((now - start) / 1e9),
                        frames * 1e9 / (now - since), inference / 1e6 / frames, Thermal.status(app));
                samples.add(sample);
                tell(sample);
                since = now;
                inference = 0;
                frames = 0;
            }
        }
        if (!samples.isEmpty()) {
            Report.Sustained run = new Report.Sustained();
            run.delegate = engine.kind;
            run.seconds = (since - start) / 1e9;
            run.samples = samples;
            app.choice.keep(engine.model, run);
        }
    }

    /** A frame with structure in it, as the camera delivers it: interleaved chroma. */
    private static Frame frame() {
        Frame frame = new Frame();
        frame.width = WIDTH;
        frame.height = HEIGHT;
        frame.yRowStride = WIDTH;
        frame.uvRowStride = WIDTH;
        frame.uvPixelStride = 2;
        frame.rotation = 90;
        frame.y = ramp(WIDTH * HEIGHT);
        frame.u = ramp(WIDTH * HEIGHT / 2 - 1);
        frame.v = ramp(WIDTH * HEIGHT / 2 - 1);
        return frame;
    }

    private static ByteBuffer ramp(int bytes) {
        ByteBuffer plane = ByteBuffer.allocateDirect(bytes);
        for (int i = 0; i < bytes; i++) {
            plane.put(i, (byte) (i / 5));
        }
        return plane;
    }

    private void tell(final Report.Sample sample) {
        main.post(new Runnable() {
            @Override
            public void run() {
                listener.onSample(sample);
            }
        });
    }

    private void end(final String error) {
        main.post(new Runnable() {
            @Override
            public void run() {
                listener.onEnded(error);
            }
        });
    }
}
