package ai.edgekit.demo;

import android.content.ContentResolver;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Matrix;
import android.graphics.PorterDuff;
import android.media.ExifInterface;
import android.net.Uri;

import java.io.IOException;
import java.io.InputStream;

/** Decodes a photo of any size within a bounded amount of memory, turned as its EXIF entry says, on white. */
final class ImageLoader {
    /** Longest side that is kept, pixels; twice a large model's input, and sharp on a phone's screen. */
    static final int MAX_SIDE = 2048;

    private ImageLoader() {}

    /**
     * Reads the photo at `uri`.
     *
     * @param upright turn it as its EXIF entry says (the spec's preprocess.orientation)
     * @throws IOException it cannot be opened, or is no photo that the phone can read
     */
    static Bitmap load(ContentResolver resolver, Uri uri, boolean upright) throws IOException {
        try {
            BitmapFactory.Options options = new BitmapFactory.Options();
            options.inJustDecodeBounds = true;
            decode(resolver, uri, options);
            if (options.outWidth <= 0 || options.outHeight <= 0) {
                throw new IOException("no image");
            }
            options.inJustDecodeBounds = false;
            options.inSampleSize = sampleSize(options.outWidth, options.outHeight);
            options.inPreferredConfig = Bitmap.Config.ARGB_8888;
            options.inMutable = true;
            Bitmap bitmap = decode(resolver, uri, options);
            if (bitmap == null) {
                throw new IOException("damaged image");
            }
            if (bitmap.hasAlpha()) { // as edgekit does; transparent pixels themselves are black
                new Canvas(bitmap).drawColor(Color.WHITE, PorterDuff.Mode.DST_OVER);
            }
            return upright ? turn(bitmap, orientation(resolver, uri)) : bitmap;
        } catch (OutOfMemoryError | RuntimeException error) { // no permission, or whatever the other app throws
            throw new IOException(error);
        }
    }

    /** The power of two by which an image is shrunk while it is decoded, so that its longer side fits MAX_SIDE. */
    static int sampleSize(int width, int height) {
        int sample = 1;
        while (Math.max(width, height) / sample > MAX_SIDE) {
            sample *= 2;
        }
        return sample;
    }

    private static Bitmap decode(ContentResolver resolver, Uri uri, BitmapFactory.Options options) throws IOException {
        try (InputStream stream = open(resolver, uri)) {
            return BitmapFactory.decodeStream(stream, null, options);
        }
    }

    private static int orientation(ContentResolver resolver, Uri uri) {
        try (InputStream stream = open(resolver, uri)) {
            return new ExifInterface(stream)
                    .getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL);
        } catch (IOException error) {
            return ExifInterface.ORIENTATION_NORMAL; // a kind of file without EXIF
        }
    }

    private static InputStream open(ContentResolver resolver, Uri uri) throws IOException {
        InputStream stream = resolver.openInputStream(uri);
        if (stream == null) {
            throw new IOException("cannot open the file");
        }
        return stream;
    }

    /** Undoes one of the eight EXIF orientations. */
    static Bitmap turn(Bitmap bitmap, int orientation) {
        Matrix matrix = new Matrix();
        switch (orientation) {
            case ExifInterface.ORIENTATION_FLIP_HORIZONTAL:
                matrix.setScale(-1, 1);
                break;
            case ExifInterface.ORIENTATION_ROTATE_180:
                matrix.setRotate(180);
                break;
            case ExifInterface.ORIENTATION_FLIP_VERTICAL:
                matrix.setScale(1, -1);
                break;
            case ExifInterface.ORIENTATION_TRANSPOSE:
                matrix.setRotate(90);
                matrix.postScale(-1, 1);
                break;
            case ExifInterface.ORIENTATION_ROTATE_90:
                matrix.setRotate(90);
                break;
            case ExifInterface.ORIENTATION_TRANSVERSE:
                matrix.setRotate(-90);
                matrix.postScale(-1, 1);
                break;
            case ExifInterface.ORIENTATION_ROTATE_270:
                matrix.setRotate(-90);
                break;
            default:
                return bitmap;
        }
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.getWidth(), bitmap.getHeight(), matrix, false);
    }
}
