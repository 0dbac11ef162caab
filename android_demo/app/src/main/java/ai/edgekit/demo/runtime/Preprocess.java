package ai.edgekit.demo.runtime;

import java.nio.ByteBuffer;

/**
 * From camera frames and decoded images to the bytes that the model takes: the twin of edgekit/runtime/preprocess.py,
 * equal to the byte. Nothing is allocated after the first call of a size. It belongs to one thread at a time.
 */
public final class Preprocess {
    private final Spec spec;
    private final InputTensor tensor;
    private final YuvLines yuv = new YuvLines();
    private final ArgbLines argb = new ArgbLines();

    /** For the last size and rotation. */
    private Resizer resizer;
    private int height;
    private int width;
    private int rotation;

    public Preprocess(Spec spec) {
        this.spec = spec;
        this.tensor = new InputTensor(spec);
    }

    /** How many bytes the input tensor has. */
    public int inputBytes() {
        return tensor.size();
    }

    /** Prepares a camera frame; throws ImageException when its planes do not fit its size and strides. */
    public void frame(Frame frame, ByteBuffer input) {
        yuv.set(frame);
        prepare(yuv, frame.height, frame.width, frame.rotation, input);
    }

    /** Prepares a decoded, upright image: pixels row by row, 0xAARRGGBB. */
    public void image(int[] pixels, int width, int height, ByteBuffer input) {
        if (height < 1 || width < 1 || pixels.length < (long) height * width) {
            throw new ImageException("The image has no " + width + "×" + height + " pixels.");
        }
        argb.set(pixels, width);
        prepare(argb, height, width, 0, input);
    }

    private void prepare(PixelLines lines, int newHeight, int newWidth, int newRotation, ByteBuffer input) {
        if (resizer == null || newHeight != height || newWidth != width || newRotation != rotation) {
            resizer = null;
            resizer = new Resizer(spec, newHeight, newWidth, newRotation);
            height = newHeight;
            width = newWidth;
            rotation = newRotation;
        }
        resizer.run(lines);
        tensor.write(resizer.pixels, input);
    }
}
