package ai.edgekit.demo.runtime;

/** Clipping to 0..255 without branches or calls, so that compilers turn loops of it into vector instructions. */
final class Bytes {
    private Bytes() {}

    static int clip(int value) {
        int positive = value & ~(value >> 31);
        return (positive | (255 - positive) >> 31) & 255;
    }
}
