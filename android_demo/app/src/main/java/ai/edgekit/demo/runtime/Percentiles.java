package ai.edgekit.demo.runtime;

import java.util.Arrays;

/** Percentiles of the last values, interpolated as numpy.percentile does. Allocates nothing per value. */
public final class Percentiles {
    private final double[] values;
    private final double[] sorted;
    private int next;
    private int count;

    /** @param size how many values are kept */
    public Percentiles(int size) {
        values = new double[size];
        sorted = new double[size];
    }

    public void add(double value) {
        values[next] = value;
        next = (next + 1) % values.length;
        count = Math.min(count + 1, values.length);
    }

    /** How many values there are. */
    public int count() {
        return count;
    }

    public void clear() {
        next = 0;
        count = 0;
    }

    /** The value below which `percent` of the values lie; NaN when there is none. */
    public double percentile(double percent) {
        if (count == 0) {
            return Double.NaN;
        }
        System.arraycopy(values, 0, sorted, 0, count);
        Arrays.sort(sorted, 0, count);
        double place = percent / 100 * (count - 1);
        int below = (int) place;
        double low = sorted[below];
        double high = sorted[Math.min(below + 1, count - 1)];
        return low + (high - low) * (place - below);
    }
}
