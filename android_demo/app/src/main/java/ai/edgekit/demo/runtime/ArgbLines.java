package ai.edgekit.demo.runtime;

/** The lines of a decoded image. */
final class ArgbLines implements PixelLines {
    private int[] argb;
    private int width;
    private boolean columns;

    void set(int[] pixels, int imageWidth) {
        argb = pixels;
        width = imageWidth;
    }

    @Override
    public void open(Box region, boolean byColumns) {
        columns = byColumns;
    }

    @Override
    public void read(int line, int first, int count, int[] planes, int at, int stride) {
        int from = columns ? first * width + line : line * width + first;
        int step = columns ? width : 1;
        for (int i = 0; i < count; i++) {
            int pixel = argb[from + i * step];
            planes[at + i] = pixel >> 16 & 255;
            planes[at + stride + i] = pixel >> 8 & 255;
            planes[at + 2 * stride + i] = pixel & 255;
        }
    }
}
