package ai.edgekit.demo.runtime;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;

/** Normalises, quantizes and lays out: `to_tensor` of edgekit/runtime/preprocess.py, with a table per channel. */
final class InputTensor {
    private final int pixels;
    private final int channels;
    private final boolean planar;
    private final boolean unchanged;

    /** What the 256 bytes become, by channel; the array of the dtype is set, the others are null. */
    private final byte[] byteTable;
    private final short[] shortTable;
    private final float[] floatTable;

    private final byte[] bytes;
    private final short[] shorts;
    private final float[] floats;

    /** The buffer of the last call and its view, kept because making a view allocates. */
    private ByteBuffer buffer;
    private ShortBuffer shortView;
    private FloatBuffer floatView;

    InputTensor(Spec spec) {
        Spec.Input input = spec.input;
        pixels = input.height * input.width;
        channels = input.channels;
        planar = input.layout.equals("NCHW") && channels > 1;
        int size = pixels * channels;
        boolean isFloat = input.dtype.equals("float32");
        boolean isShort = input.dtype.equals("int16");
        byteTable = isFloat || isShort ? null : new byte[256 * channels];
        shortTable = isShort ? new short[256 * channels] : null;
        floatTable = isFloat ? new float[256 * channels] : null;
        bytes = byteTable == null ? null : new byte[size];
        shorts = isShort ? new short[size] : null;
        floats = isFloat ? new float[size] : null;
        boolean same = !planar && input.dtype.equals("uint8");
        for (int c = 0; c < channels; c++) {
            for (int value = 0; value < 256; value++) {
                double real = (value - spec.preprocess.mean[c]) / spec.preprocess.std[c];
                int at = 256 * c + value;
                if (isFloat) {
                    floatTable[at] = (float) real;
                    continue;
                }
                int step = quantize(real, input);
                same &= step == value;
                if (isShort) {
                    shortTable[at] = (short) step;
                } else {
                    byteTable[at] = (byte) step;
                }
            }
        }
        unchanged = same;
    }

    /** How many bytes the tensor has. */
    int size() {
        return pixels * channels * (floatTable != null ? 4 : shortTable != null ? 2 : 1);
    }

    /** Writes the whole tensor, in native order, from position 0 on; from HWC bytes of the input's size. */
    void write(byte[] image, ByteBuffer to) {
        if (to != buffer) {
            if (to.capacity() < size()) {
                throw new ImageException("The input has " + size() + " bytes, the buffer " + to.capacity() + ".");
            }
            ByteBuffer whole = to.duplicate();
            ((Buffer) whole).clear();
            whole.order(ByteOrder.nativeOrder());
            shortView = whole.asShortBuffer();
            floatView = whole.asFloatBuffer();
            buffer = to;
        }
        if (floatTable != null) {
            for (int c = 0; c < channels; c++) {
                int at = planar ? c * pixels : c;
                int step = planar ? 1 : channels;
                for (int i = 0; i < pixels; i++) {
                    floats[at + i * step] = floatTable[256 * c + (image[i * channels + c] & 255)];
                }
            }
            ((Buffer) floatView).clear();
            floatView.put(floats);
        } else if (shortTable != null) {
            for (int c = 0; c < channels; c++) {
                int at = planar ? c * pixels : c;
                int step = planar ? 1 : channels;
                for (int i = 0; i < pixels; i++) {
                    shorts[at + i * step] = shortTable[256 * c + (image[i * channels + c] & 255)];
                }
            }
            ((Buffer) shortView).clear();
            shortView.put(shorts);
        } else {
            ((Buffer) to).clear();
            to.put(unchanged ? image : mapped(image));
            ((Buffer) to).clear();
        }
    }

    private byte[] mapped(byte[] image) {
        for (int c = 0; c < channels; c++) {
            int at = planar ? c * pixels : c;
            int step = planar ? 1 : channels;
            for (int i = 0; i < pixels; i++) {
                bytes[at + i * step] = byteTable[256 * c + (image[i * channels + c] & 255)];
            }
        }
        return bytes;
    }

    private static int quantize(double real, Spec.Input input) {
        double step = Math.floor(real / input.quantization.scale + input.quantization.zeroPoint + 0.5);
        int low = input.dtype.equals("uint8") ? 0 : input.dtype.equals("int8") ? -128 : -32768;
        int high = input.dtype.equals("uint8") ? 255 : input.dtype.equals("int8") ? 127 : 32767;
        return (int) Math.max(low, Math.min(high, step));
    }
}
