package ai.edgekit.demo.runtime;

/**
 * Which pixels of an axis make each output pixel, and with which weights of 22 fractional bits: `taps` of
 * edgekit/runtime/preprocess.py, where the arithmetic is described. The kernel `nearest` has one tap of weight 1.
 */
final class Taps {
    static final int WEIGHT_BITS = 22;

    /** What is added before a weighted sum is shifted, so that it is rounded. */
    static final int HALF = 1 << (WEIGHT_BITS - 1);

    final int sizeIn;
    final int sizeOut;

    /** The first tap of each output pixel, and how many it has. */
    final int[] starts;
    final int[] counts;

    /** The most taps that an output pixel has. */
    final int longest;

    /** The weight of tap k of output x is at x · longest + k, zero beyond the last tap. */
    final int[] weights;

    private Taps(int sizeIn, int sizeOut, int longest) {
        this.sizeIn = sizeIn;
        this.sizeOut = sizeOut;
        this.longest = longest;
        this.starts = new int[sizeOut];
        this.counts = new int[sizeOut];
        this.weights = new int[sizeOut * longest];
    }

    static Taps of(int sizeIn, int sizeOut, String kernel) {
        return kernel.equals("nearest") ? nearest(sizeIn, sizeOut) : weighted(sizeIn, sizeOut, kernel);
    }

    /** The same taps for an axis that is read, and written, from its end. */
    Taps mirrored() {
        Taps mirror = new Taps(sizeIn, sizeOut, longest);
        for (int x = 0; x < sizeOut; x++) {
            int to = sizeOut - 1 - x;
            mirror.starts[to] = sizeIn - starts[x] - counts[x];
            mirror.counts[to] = counts[x];
            for (int k = 0; k < counts[x]; k++) {
                mirror.weights[to * longest + counts[x] - 1 - k] = weights[x * longest + k];
            }
        }
        return mirror;
    }

    private static Taps nearest(int sizeIn, int sizeOut) {
        Taps taps = new Taps(sizeIn, sizeOut, 1);
        for (int x = 0; x < sizeOut; x++) {
            taps.starts[x] = (int) ((2L * x + 1) * sizeIn / (2L * sizeOut));
            taps.counts[x] = 1;
            taps.weights[x] = 1 << WEIGHT_BITS;
        }
        return taps;
    }

    private static Taps weighted(int sizeIn, int sizeOut, String kernel) {
        boolean cubic = kernel.equals("bicubic-aa");
        double scale = (double) sizeIn / sizeOut;
        double stretch = kernel.equals("bilinear") ? 1.0 : Math.max(scale, 1.0);
        double support = cubic ? 2.0 * stretch : stretch;
        int longest = 0;
        for (int x = 0; x < sizeOut; x++) {
            longest = Math.max(longest, end(x, scale, support, sizeIn) - start(x, scale, support));
        }
        Taps taps = new Taps(sizeIn, sizeOut, longest);
        double[] weights = new double[longest];
        for (int x = 0; x < sizeOut; x++) {
            double centre = (x + 0.5) * scale;
            int start = start(x, scale, support);
            int count = end(x, scale, support, sizeIn) - start;
            double total = 0;
            for (int k = 0; k < count; k++) {
                double distance = Math.abs((start + k - centre + 0.5) * (1.0 / stretch));
                weights[k] = cubic ? cubic(distance) : Math.max(1.0 - distance, 0.0);
                total += weights[k];
            }
            taps.starts[x] = start;
            taps.counts[x] = count;
            for (int k = 0; k < count; k++) {
                double weight = weights[k] / total;
                taps.weights[x * longest + k] = (int) (weight * (1 << WEIGHT_BITS) + Math.copySign(0.5, weight));
            }
        }
        return taps;
    }

    private static int start(int x, double scale, double support) {
        return Math.max((int) ((x + 0.5) * scale - support + 0.5), 0);
    }

    private static int end(int x, double scale, double support, int sizeIn) {
        return Math.min((int) ((x + 0.5) * scale + support + 0.5), sizeIn);
    }

    /** Keys' kernel with a = −0.5 (IEEE Trans. ASSP 29(6), 1981). */
    private static double cubic(double distance) {
        double a = -0.5;
        if (distance < 1.0) {
            return ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1.0;
        }
        return distance < 2.0 ? (((distance - 5.0) * distance + 8.0) * distance - 4.0) * a : 0.0;
    }
}
