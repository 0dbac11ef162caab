package ai.edgekit.demo.runtime;

/** Pixels row by row, each 0xAARRGGBB as Android's Bitmap gives them; alpha is ignored. */
public final class DecodedImage {
    public final int[] argb;
    public final int width;
    public final int height;

    public DecodedImage(int[] argb, int width, int height) {
        this.argb = argb;
        this.width = width;
        this.height = height;
    }
}
