package ai.edgekit.demo;

import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.Percentiles;
import ai.edgekit.demo.runtime.Report;

/** Rate and times of a camera session. Written by the worker, read by the screen. */
final class LiveStats {
    private static final int KEPT = 300;
    private static final int RECENT = 30;

    final DelegateKind kind;
    private final Percentiles preprocess = new Percentiles(KEPT);
    private final Percentiles inference = new Percentiles(KEPT);
    private final Percentiles total = new Percentiles(KEPT);
    private final long[] recent = new long[RECENT];
    private long first;
    private long last;
    private long offered;
    private long classified;

    LiveStats(DelegateKind kind) {
        this.kind = kind;
    }

    /** The camera delivered a frame. */
    synchronized void offered() {
        offered++;
    }

    /** A frame was classified; all times are in nanoseconds, `now` of System.nanoTime(). */
    synchronized void classified(long preprocessNanos, long inferenceNanos, long totalNanos, long now) {
        preprocess.add(preprocessNanos / 1e6);
        inference.add(inferenceNanos / 1e6);
        total.add(totalNanos / 1e6);
        if (classified == 0) {
            first = now;
        }
        last = now;
        recent[(int) (classified % RECENT)] = now;
        classified++;
    }

    /** Frames a second over the last 30 frames; 0 before the second frame. */
    synchronized double recentRate() {
        int count = (int) Math.min(classified, RECENT);
        long oldest = recent[(int) ((classified - count) % RECENT)];
        return count < 2 || last == oldest ? 0 : (count - 1) * 1e9 / (last - oldest);
    }

    /** Milliseconds from frame to scores, the median of the last 300 frames; NaN without any. */
    synchronized double medianTotal() {
        return total.percentile(50);
    }

    /** The whole session, once it is over, for the report; null if it was too short to have a rate. */
    synchronized Report.Live live() {
        if (classified < 2) {
            return null;
        }
        Report.Live live = new Report.Live();
        live.delegate = kind;
        live.seconds = (last - first) / 1e9;
        live.frames = (int) classified;
        live.dropped = (int) Math.max(0, offered - classified);
        live.preprocess = preprocess;
        live.inference = inference;
        live.total = total;
        return live;
    }
}
