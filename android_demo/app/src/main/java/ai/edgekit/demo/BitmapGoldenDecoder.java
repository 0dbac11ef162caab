package ai.edgekit.demo;

import android.graphics.Bitmap;
import android.graphics.BitmapFactory;

import ai.edgekit.demo.runtime.DecodedImage;
import ai.edgekit.demo.runtime.GoldenDecoder;

import java.io.IOException;

/** Decodes golden answers' PNG files with the platform: no scaling for the screen, no premultiplied alpha. */
final class BitmapGoldenDecoder implements GoldenDecoder {
    @Override
    public DecodedImage decode(byte[] png) throws IOException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inScaled = false;
        options.inPremultiplied = false;
        options.inPreferredConfig = Bitmap.Config.ARGB_8888;
        Bitmap bitmap = BitmapFactory.decodeByteArray(png, 0, png.length, options);
        if (bitmap == null) {
            throw new IOException("The PNG file of a golden answer is damaged.");
        }
        int width = bitmap.getWidth();
        int height = bitmap.getHeight();
        int[] argb = new int[width * height];
        bitmap.getPixels(argb, 0, width, 0, 0, width, height);
        bitmap.recycle();
        return new DecodedImage(argb, width, height);
    }
}
