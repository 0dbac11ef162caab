package ai.edgekit.demo.runtime;

import java.util.Arrays;

/**
 * Rotates, crops and resizes one size of image to the bytes of the model's input, in the passes of the reference: along
 * the rows of the upright image, then along its columns, each rounding to bytes. Both passes add whole lines, which
 * compilers turn into vector instructions: the first one the columns of the upright image, read one after the other
 * (they are the columns of the stored image, or, turned by 90 or 270 degrees, its rows), the second one the rows that
 * the first one made.
 */
final class Resizer {
    /** For the image between the passes (48 MB), and for the canvas of the crop mode `pad` (seconds). */
    private static final long MAX_NARROW_PIXELS = 1L << 24;
    private static final long MAX_CANVAS_PIXELS = 1L << 26;

    private final int imageHeight;
    private final int imageWidth;

    /** The region in the stored image, and its part that lies inside of it. */
    private final Box box;
    private final Box inside;
    private final int[] fill;
    private final boolean gray;
    private final boolean bgr;
    private final int channels;
    private final int outHeight;
    private final int outWidth;

    /** Whether the lines are the columns of the stored image, and which of its axes run backwards. */
    private final boolean columns;
    private final boolean mirroredLines;
    private final boolean mirroredAlong;

    private final LineSums columnSums;
    private final LineSums rowSums;

    /** Channel planes of a column of the region. */
    private final int length;
    private final int[] column;
    private final int[] columnDone;

    /** What the first pass makes: [region's height, input's width, channels]. */
    private final byte[] narrow;
    private final int rowLength;
    private final int[] row;
    private final int[] rowDone;

    /** [height, width, channels] of the model's input. */
    final byte[] pixels;

    Resizer(Spec spec, int imageHeight, int imageWidth, int degrees) {
        if (degrees != 0 && degrees != 90 && degrees != 180 && degrees != 270) {
            throw new ImageException("Images are rotated by 0, 90, 180 or 270 degrees, not by " + degrees + ".");
        }
        this.imageHeight = imageHeight;
        this.imageWidth = imageWidth;
        columns = degrees == 0 || degrees == 180;
        mirroredLines = degrees == 90 || degrees == 180;
        mirroredAlong = degrees == 180 || degrees == 270;
        fill = spec.preprocess.crop.fill;
        gray = spec.preprocess.channelOrder.equals("gray");
        bgr = spec.preprocess.channelOrder.equals("BGR");
        channels = spec.input.channels;
        outHeight = spec.input.height;
        outWidth = spec.input.width;

        Box upright = columns ? Box.of(imageHeight, imageWidth, spec) : Box.of(imageWidth, imageHeight, spec);
        checkWork(upright.height, outWidth, MAX_NARROW_PIXELS);
        checkWork(upright.height, upright.width, MAX_CANVAS_PIXELS);
        box = upright.unrotated(degrees, imageHeight, imageWidth);
        int top = Math.max(0, box.top);
        int left = Math.max(0, box.left);
        inside = new Box(top, left, Math.min(imageHeight, box.top + box.height) - top,
                Math.min(imageWidth, box.left + box.width) - left);

        Taps across = Taps.of(upright.width, outWidth, spec.preprocess.resize);
        Taps down = Taps.of(upright.height, outHeight, spec.preprocess.resize);
        length = upright.height;
        column = new int[3 * length];
        columnDone = new int[channels * length];
        columnSums = new LineSums(mirroredLines ? across.mirrored() : across, columnDone.length);
        rowLength = outWidth * channels;
        narrow = new byte[length * rowLength];
        row = new int[rowLength];
        rowDone = new int[rowLength];
        rowSums = new LineSums(mirroredAlong ? down.mirrored() : down, rowLength);
        pixels = new byte[outHeight * rowLength];
    }

    /** Fills `pixels` from an image of the size that this was made for. */
    void run(PixelLines image) {
        resizeAcross(image);
        resizeDown();
    }

    private void resizeAcross(PixelLines image) {
        image.open(inside, columns);
        columnSums.start();
        int lines = columns ? box.width : box.height;
        for (int i = 0; i < lines; i++) {
            if (!columnSums.needs(i)) {
                continue;
            }
            read(image, i);
            columnSums.add(i, column);
            while (columnSums.isDone(i)) {
                int out = columnSums.take(columnDone);
                int x = mirroredLines ? outWidth - 1 - out : out;
                for (int c = 0; c < channels; c++) {
                    int to = x * channels + (bgr ? 2 - c : c);
                    for (int y = 0; y < length; y++) {
                        narrow[to + y * rowLength] = (byte) columnDone[c * length + y];
                    }
                }
            }
        }
    }

    private void resizeDown() {
        rowSums.start();
        for (int i = 0; i < length; i++) {
            if (!rowSums.needs(i)) {
                continue;
            }
            for (int k = 0; k < rowLength; k++) {
                row[k] = narrow[i * rowLength + k] & 255;
            }
            rowSums.add(i, row);
            while (rowSums.isDone(i)) {
                int out = rowSums.take(rowDone);
                int to = (mirroredAlong ? outHeight - 1 - out : out) * rowLength;
                for (int k = 0; k < rowLength; k++) {
                    pixels[to + k] = (byte) rowDone[k];
                }
            }
        }
    }

    /** One column of the region, with what lies outside of the image filled. */
    private void read(PixelLines image, int number) {
        int position = number + (columns ? box.left : box.top);
        boolean outside = position < 0 || position >= (columns ? imageWidth : imageHeight);
        int before = outside ? length : columns ? inside.top - box.top : inside.left - box.left;
        int count = outside ? 0 : columns ? inside.height : inside.width;
        if (count < length) {
            for (int c = 0; c < 3; c++) {
                Arrays.fill(column, c * length, c * length + before, fill[c]);
                Arrays.fill(column, c * length + before + count, (c + 1) * length, fill[c]);
            }
        }
        if (count > 0) {
            image.read(position, columns ? inside.top : inside.left, count, column, before, length);
        }
        if (gray) {
            for (int i = 0; i < length; i++) {
                int sum = 19595 * column[i] + 38470 * column[length + i] + 7471 * column[2 * length + i];
                column[i] = sum + 32768 >> 16;
            }
        }
    }

    private static void checkWork(long height, long width, long most) {
        if (height * width > most) {
            throw new ImageException("Preparing the image would need " + width + "×" + height
                    + " pixels on the way; that is too many.");
        }
    }
}
