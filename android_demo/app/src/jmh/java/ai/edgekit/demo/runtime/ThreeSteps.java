package ai.edgekit.demo.runtime;

import java.nio.ByteBuffer;

/**
 * The obvious way from a camera frame to the model's input, to measure the other one against: the whole frame to RGB,
 * as a Bitmap holds it; then turned; then cropped and resized. Same arithmetic, same bytes.
 */
final class ThreeSteps {
    private ThreeSteps() {}

    static void run(Frame frame, Spec spec, ByteBuffer input) {
        int[] argb = toArgb(frame);
        boolean turned = frame.rotation % 180 != 0;
        int height = turned ? frame.width : frame.height;
        int width = turned ? frame.height : frame.width;
        int[] upright = rotate(argb, frame.height, frame.width, frame.rotation);
        resize(upright, height, width, spec, input);
    }

    private static int[] toArgb(Frame frame) {
        int[] argb = new int[frame.height * frame.width];
        for (int row = 0; row < frame.height; row++) {
            for (int column = 0; column < frame.width; column++) {
                int chroma = (row >> 1) * frame.uvRowStride + (column >> 1) * frame.uvPixelStride;
                int y = (frame.y.get(row * frame.yRowStride + column) & 255) << 16;
                int u = (frame.u.get(chroma) & 255) - 128;
                int v = (frame.v.get(chroma) & 255) - 128;
                int red = clip(y + 91881 * v + 32768 >> 16);
                int green = clip(y - 22554 * u - 46802 * v + 32768 >> 16);
                int blue = clip(y + 116130 * u + 32768 >> 16);
                argb[row * frame.width + column] = red << 16 | green << 8 | blue;
            }
        }
        return argb;
    }

    private static int[] rotate(int[] from, int height, int width, int degrees) {
        int[] to = new int[from.length];
        for (int row = 0; row < height; row++) {
            for (int column = 0; column < width; column++) {
                int at;
                if (degrees == 90) {
                    at = column * height + height - 1 - row;
                } else if (degrees == 180) {
                    at = (height - 1 - row) * width + width - 1 - column;
                } else if (degrees == 270) {
                    at = (width - 1 - column) * height + row;
                } else {
                    at = row * width + column;
                }
                to[at] = from[row * width + column];
            }
        }
        return to;
    }

    private static void resize(int[] from, int height, int width, Spec spec, ByteBuffer input) {
        Box box = Box.of(height, width, spec);
        Taps across = Taps.of(box.width, spec.input.width, spec.preprocess.resize);
        Taps down = Taps.of(box.height, spec.input.height, spec.preprocess.resize);
        int[] narrow = new int[box.height * spec.input.width];
        for (int y = 0; y < box.height; y++) {
            for (int x = 0; x < spec.input.width; x++) {
                int start = (box.top + y) * width + box.left + across.starts[x];
                narrow[y * spec.input.width + x] = sum(from, start, 1, across, x);
            }
        }
        for (int y = 0; y < spec.input.height; y++) {
            for (int x = 0; x < spec.input.width; x++) {
                int start = down.starts[y] * spec.input.width + x;
                int rgb = sum(narrow, start, spec.input.width, down, y);
                int at = 3 * (y * spec.input.width + x);
                input.put(at, (byte) (rgb >> 16));
                input.put(at + 1, (byte) (rgb >> 8));
                input.put(at + 2, (byte) rgb);
            }
        }
    }

    private static int sum(int[] pixels, int start, int step, Taps taps, int output) {
        int red = Taps.HALF;
        int green = Taps.HALF;
        int blue = Taps.HALF;
        for (int k = 0; k < taps.counts[output]; k++) {
            int weight = taps.weights[output * taps.longest + k];
            int pixel = pixels[start + k * step];
            red += weight * (pixel >> 16 & 255);
            green += weight * (pixel >> 8 & 255);
            blue += weight * (pixel & 255);
        }
        return clip(red >> Taps.WEIGHT_BITS) << 16 | clip(green >> Taps.WEIGHT_BITS) << 8
                | clip(blue >> Taps.WEIGHT_BITS);
    }

    private static int clip(int value) {
        return Math.max(0, Math.min(255, value));
    }
}
