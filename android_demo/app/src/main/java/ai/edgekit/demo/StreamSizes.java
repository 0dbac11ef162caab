package ai.edgekit.demo;

import android.util.Size;

/** Which of a camera's sizes are used: frames large enough for a model and cheap to convert, and a sharper preview. */
final class StreamSizes {
    private static final int FRAME_PIXELS = 1280 * 720;
    private static final int PREVIEW_PIXELS = 1920 * 1088;

    private StreamSizes() {}

    /** The size of the frames to classify: the one whose pixel count is nearest to 1280 × 720. */
    static Size frame(Size[] sizes) {
        Size best = null;
        for (Size size : sizes) {
            if (best == null || distance(size) < distance(best)) {
                best = size;
            }
        }
        return best == null ? new Size(640, 480) : best;
    }

    /** The largest preview up to full HD that shows what the frames show: the same aspect ratio. */
    static Size preview(Size[] sizes, Size frame) {
        Size best = frame;
        for (Size size : sizes) {
            boolean alike = size.getWidth() * frame.getHeight() == size.getHeight() * frame.getWidth();
            if (alike && pixels(size) <= PREVIEW_PIXELS && pixels(size) > pixels(best)) {
                best = size;
            }
        }
        return best;
    }

    private static long pixels(Size size) {
        return (long) size.getWidth() * size.getHeight();
    }

    private static long distance(Size size) {
        return Math.abs(pixels(size) - FRAME_PIXELS);
    }
}
