package ai.edgekit.demo.runtime;

/**
 * What the rows of the screen show while frames come in: scores smoothed exponentially over time, and labels that keep
 * their row until another one is clearly better, so that nothing flickers. Allocates nothing per update.
 */
public final class Smoother {
    /** By how much a label must lead to take the place of one that is shown. */
    private static final float MARGIN = 0.03f;

    private final double seconds;
    private final float[] smooth;
    private final TopK best;
    private long last;
    private boolean started;

    /** The labels' indices by row; the first row is the best label. All are valid after the first update. */
    public final int[] rows;

    /**
     * @param labels how many scores there are
     * @param rows how many rows are shown; fewer where there are fewer labels
     * @param seconds the time constant: after it, a change has come through to 63 %
     */
    public Smoother(int labels, int rows, double seconds) {
        this.seconds = seconds;
        this.smooth = new float[labels];
        this.rows = new int[Math.min(labels, rows)];
        this.best = new TopK(this.rows.length);
    }

    /** Forgets all, so that the next scores are shown as they are. */
    public void reset() {
        started = false;
    }

    /** Takes the scores of a frame that was seen at `nanos` (System.nanoTime()). */
    public void update(float[] scores, long nanos) {
        float share = started ? (float) -Math.expm1(-(nanos - last) * 1e-9 / seconds) : 1;
        share = Math.max(0, Math.min(1, share));
        for (int i = 0; i < smooth.length; i++) {
            smooth[i] += share * (scores[i] - smooth[i]);
        }
        last = nanos;
        best.update(smooth);
        if (started) {
            keepRows();
        } else {
            System.arraycopy(best.indices, 0, rows, 0, rows.length);
        }
        started = true;
    }

    /** The smoothed score of a label. */
    public float score(int label) {
        return smooth[label];
    }

    /** All smoothed scores, by label; do not change them. */
    public float[] scores() {
        return smooth;
    }

    private void keepRows() {
        for (int i = 0; i < best.count; i++) {
            int label = best.indices[i];
            int worst = 0;
            for (int row = 1; row < rows.length; row++) {
                worst = smooth[rows[row]] < smooth[rows[worst]] ? row : worst;
            }
            if (rowOf(label) < 0 && smooth[label] > smooth[rows[worst]] + MARGIN) {
                rows[worst] = label;
            }
        }
        int leader = rowOf(best.indices[0]);
        if (leader > 0 && smooth[rows[leader]] > smooth[rows[0]] + MARGIN) {
            int label = rows[leader];
            rows[leader] = rows[0];
            rows[0] = label;
        }
    }

    private int rowOf(int label) {
        for (int row = 0; row < rows.length; row++) {
            if (rows[row] == label) {
                return row;
            }
        }
        return -1;
    }
}
