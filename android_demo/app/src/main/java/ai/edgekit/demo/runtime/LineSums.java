package ai.edgekit.demo.runtime;

import java.util.Arrays;

/**
 * A resize pass across lines, fed with them from first to last: each line is added, with its weights, to the few output
 * lines that it belongs to, and an output line is done with its last tap. No input line is kept.
 */
final class LineSums {
    private final Taps taps;

    /** The output lines that input line i belongs to: from firsts[i] to ends[i] − 1. */
    private final int[] firsts;
    private final int[] ends;

    /** The sums of the output lines at work: line o is in sums[o % sums.length]. */
    private final int[][] sums;
    private int done;

    LineSums(Taps taps, int length) {
        this.taps = taps;
        firsts = new int[taps.sizeIn];
        ends = new int[taps.sizeIn];
        for (int o = taps.sizeOut - 1; o >= 0; o--) {
            Arrays.fill(firsts, taps.starts[o], last(o) + 1, o);
        }
        for (int o = 0; o < taps.sizeOut; o++) {
            Arrays.fill(ends, taps.starts[o], last(o) + 1, o + 1);
        }
        int open = 0;
        for (int i = 0; i < taps.sizeIn; i++) {
            open = Math.max(open, ends[i] - firsts[i]);
        }
        sums = new int[open][length];
    }

    /** Begins a new image. */
    void start() {
        done = 0;
        for (int[] sum : sums) {
            Arrays.fill(sum, Taps.HALF);
        }
    }

    /** Whether any output line needs this input line. */
    boolean needs(int line) {
        return firsts[line] < ends[line];
    }

    void add(int line, int[] values) {
        for (int o = firsts[line]; o < ends[line]; o++) {
            int weight = taps.weights[o * taps.longest + line - taps.starts[o]];
            if (weight != 0) {
                addWeighted(sums[o % sums.length], values, weight);
            }
        }
    }

    /** Whether an output line is done with this input line; `take` it, and ask again. */
    boolean isDone(int line) {
        return done < taps.sizeOut && last(done) <= line;
    }

    /** Writes the output line that is done, clipped to bytes; gives its number. */
    int take(int[] values) {
        int[] sum = sums[done % sums.length];
        for (int i = 0; i < sum.length; i++) {
            values[i] = Bytes.clip(sum[i] >> Taps.WEIGHT_BITS);
        }
        Arrays.fill(sum, Taps.HALF);
        return done++;
    }

    private int last(int output) {
        return taps.starts[output] + taps.counts[output] - 1;
    }

    private static void addWeighted(int[] sum, int[] values, int weight) {
        for (int i = 0; i < sum.length; i++) {
            sum[i] += weight * values[i];
        }
    }
}
