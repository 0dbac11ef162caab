package ai.edgekit.demo;

import android.media.Image;

import ai.edgekit.demo.runtime.Frame;
import ai.edgekit.demo.runtime.ModelFileException;
import ai.edgekit.demo.runtime.Smoother;

/**
 * Turns camera frames into the rows of the result sheet. `classify` runs on the worker, `read` on the screen's thread;
 * neither allocates.
 */
final class FrameClassifier {
    static final int ROWS = 5;

    /** Time constant of the smoothed scores, seconds. */
    private static final double SMOOTHING = 0.25;

    /** How far the best score has to fall below the threshold before a sure answer becomes unsure. */
    private static final float HYSTERESIS = 0.03f;

    final Engine engine;
    final LiveStats stats;
    private final Frame frame = new Frame();
    private final Smoother smoother;
    private final float threshold;
    private boolean sure;

    /** What the sheet shows: labels, best first, then the others in their rows, and their scores. */
    static final class Answer {
        final int[] labels = new int[ROWS];
        final float[] scores = new float[ROWS];
        int count;
        boolean sure;

        void set(Answer other) {
            System.arraycopy(other.labels, 0, labels, 0, ROWS);
            System.arraycopy(other.scores, 0, scores, 0, ROWS);
            count = other.count;
            sure = other.sure;
        }
    }

    private final Answer newest = new Answer();

    FrameClassifier(Engine engine) {
        this.engine = engine;
        Double limit = engine.model.spec.output.calibration.threshold;
        threshold = limit == null ? 0 : limit.floatValue();
        smoother = new Smoother(engine.model.spec.labels.size(), ROWS, SMOOTHING);
        stats = new LiveStats(engine.kind);
    }

    /** Classifies a frame of the camera that has to be turned by `rotation` degrees to be upright. */
    void classify(Image image, int rotation) throws ModelFileException {
        Image.Plane[] planes = image.getPlanes();
        frame.y = planes[0].getBuffer();
        frame.u = planes[1].getBuffer();
        frame.v = planes[2].getBuffer();
        frame.width = image.getWidth();
        frame.height = image.getHeight();
        frame.yRowStride = planes[0].getRowStride();
        frame.uvRowStride = planes[1].getRowStride();
        frame.uvPixelStride = planes[1].getPixelStride();
        frame.rotation = rotation;
        classify(frame);
    }

    /** Classifies a frame. */
    void classify(Frame given) throws ModelFileException {
        long start = System.nanoTime();
        float[] scores = engine.classify(given);
        long end = System.nanoTime();
        smoother.update(scores, end);
        stats.classified(engine.preprocessNanos, engine.inferenceNanos, end - start, end);
        synchronized (newest) {
            int before = newest.labels[0];
            newest.count = smoother.rows.length;
            for (int row = 0; row < newest.count; row++) {
                newest.labels[row] = smoother.rows[row];
                newest.scores[row] = smoother.score(smoother.rows[row]);
            }
            boolean stays = sure && newest.labels[0] == before; // another label has to earn it
            sure = newest.scores[0] >= (stays ? threshold - HYSTERESIS : threshold);
            newest.sure = sure;
        }
    }

    /** Copies the newest answer. */
    void read(Answer into) {
        synchronized (newest) {
            into.set(newest);
        }
    }
}
