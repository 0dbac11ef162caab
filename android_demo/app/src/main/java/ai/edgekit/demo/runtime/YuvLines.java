package ai.edgekit.demo.runtime;

import java.nio.Buffer;
import java.nio.ByteBuffer;

/**
 * The lines of a camera frame in RGB: `yuv420_to_rgb` of edgekit/runtime/preprocess.py (full-range BT.601, 16
 * fractional bits). Since 65536·Y has no fraction, (65536·Y + c + 32768) >> 16 is Y + ((c + 32768) >> 16): the second
 * part, the shift, is computed once for the four pixels that share a chroma sample.
 */
final class YuvLines implements PixelLines {
    private Frame frame;
    private Box region;
    private boolean columns;

    /** The region's part of the planes, since many single reads of a direct buffer are slow. */
    private byte[] y = new byte[0];
    private byte[] u = new byte[0];
    private byte[] v = new byte[0];
    private int chromaRowBytes;

    /** One line of luma, and what chroma adds to it; one channel of the result. */
    private int[] luma = new int[0];
    private int[] redShift = new int[0];
    private int[] greenShift = new int[0];
    private int[] blueShift = new int[0];
    private int[] channel = new int[0];

    /** The chroma line that the shifts are of, and the first and the number of its samples; -1 for none. */
    private int shiftLine = -1;
    private int shiftFirst = -1;
    private int shiftCount = -1;

    /** Takes the next frame; refuses one whose planes are too short for its size and strides. */
    void set(Frame next) {
        if (next.height < 1 || next.width < 1) {
            throw new ImageException("A camera frame cannot have " + next.width + "×" + next.height + " pixels.");
        }
        check(next.y, "Y", next.height, next.width, next.yRowStride, 1);
        int halfHeight = (next.height + 1) / 2;
        int halfWidth = (next.width + 1) / 2;
        check(next.u, "U", halfHeight, halfWidth, next.uvRowStride, next.uvPixelStride);
        check(next.v, "V", halfHeight, halfWidth, next.uvRowStride, next.uvPixelStride);
        frame = next;
    }

    @Override
    public void open(Box newRegion, boolean byColumns) {
        region = newRegion;
        columns = byColumns;
        shiftLine = -1;
        int chromaTop = region.top >> 1;
        int chromaLeft = region.left >> 1;
        int chromaHeight = (region.top + region.height - 1 >> 1) - chromaTop + 1;
        int chromaWidth = (region.left + region.width - 1 >> 1) - chromaLeft + 1;
        chromaRowBytes = (chromaWidth - 1) * frame.uvPixelStride + 1;
        reserve(region.height * region.width, chromaHeight * chromaRowBytes, columns ? region.height : region.width);
        copy(frame.y, region.top * frame.yRowStride + region.left, frame.yRowStride, y, region.height, region.width);
        int chromaStart = chromaTop * frame.uvRowStride + chromaLeft * frame.uvPixelStride;
        copy(frame.u, chromaStart, frame.uvRowStride, u, chromaHeight, chromaRowBytes);
        copy(frame.v, chromaStart, frame.uvRowStride, v, chromaHeight, chromaRowBytes);
    }

    @Override
    public void read(int line, int first, int count, int[] planes, int at, int stride) {
        readShifts(line, first, count);
        int start = columns ? (first - region.top) * region.width + line - region.left
                : (line - region.top) * region.width + first - region.left;
        int step = columns ? region.width : 1;
        for (int i = 0; i < count; i++) {
            luma[i] = y[start + i * step] & 255;
        }
        add(redShift, count, planes, at);
        add(greenShift, count, planes, at + stride);
        add(blueShift, count, planes, at + 2 * stride);
    }

    /** One channel. The arrays share one index, without which the JIT's vectorizer sees possible overlaps. */
    private void add(int[] shift, int count, int[] planes, int at) {
        int[] base = luma;
        int[] sum = channel;
        for (int i = 0; i < count; i++) {
            sum[i] = Bytes.clip(base[i] + shift[i]);
        }
        System.arraycopy(sum, 0, planes, at, count);
    }

    private void readShifts(int line, int first, int count) {
        if (line >> 1 == shiftLine && first == shiftFirst && count == shiftCount) {
            return;
        }
        shiftLine = line >> 1;
        shiftFirst = first;
        shiftCount = count;
        int top = region.top >> 1;
        int left = region.left >> 1;
        int pixel = frame.uvPixelStride;
        int start = columns ? ((first >> 1) - top) * chromaRowBytes + (shiftLine - left) * pixel
                : (shiftLine - top) * chromaRowBytes + ((first >> 1) - left) * pixel;
        int step = columns ? chromaRowBytes : pixel;
        // A line that begins with the second pixel of a chroma sample begins one earlier.
        int odd = first & 1;
        for (int i = -odd; i < count; i += 2) {
            int sample = start + (i + odd >> 1) * step;
            int blue = (u[sample] & 255) - 128;
            int red = (v[sample] & 255) - 128;
            int toRed = 91881 * red + 32768 >> 16;
            int toGreen = -22554 * blue - 46802 * red + 32768 >> 16;
            int toBlue = 116130 * blue + 32768 >> 16;
            if (i >= 0) {
                redShift[i] = toRed;
                greenShift[i] = toGreen;
                blueShift[i] = toBlue;
            }
            redShift[i + 1] = toRed;
            greenShift[i + 1] = toGreen;
            blueShift[i + 1] = toBlue;
        }
    }

    private void reserve(int lumaBytes, int chromaBytes, int lineLength) {
        if (y.length < lumaBytes) {
            y = new byte[lumaBytes];
        }
        if (u.length < chromaBytes) {
            u = new byte[chromaBytes];
            v = new byte[chromaBytes];
        }
        if (luma.length < lineLength) {
            luma = new int[lineLength];
            channel = new int[lineLength];
            redShift = new int[lineLength + 1];
            greenShift = new int[lineLength + 1];
            blueShift = new int[lineLength + 1];
        }
    }

    private static void copy(ByteBuffer plane, int start, int rowStride, byte[] to, int rows, int rowBytes) {
        for (int row = 0; row < rows; row++) {
            ((Buffer) plane).position(start + row * rowStride);
            plane.get(to, row * rowBytes, rowBytes);
        }
    }

    private static void check(ByteBuffer plane, String name, int height, int width, int rowStride, int pixelStride) {
        long rowBytes = (width - 1L) * pixelStride + 1;
        if (pixelStride < 1 || rowStride < rowBytes) {
            throw new ImageException("The camera frame's " + name + " plane has impossible strides (" + rowStride
                    + ", " + pixelStride + ").");
        }
        long needed = (height - 1L) * rowStride + rowBytes;
        if (plane.limit() < needed) {
            throw new ImageException("The camera's " + name + " plane needs " + needed + " bytes, not "
                    + plane.limit() + ".");
        }
    }
}
