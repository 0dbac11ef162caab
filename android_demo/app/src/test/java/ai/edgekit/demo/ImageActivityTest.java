package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Color;
import android.media.ExifInterface;
import android.net.Uri;
import android.view.View;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.util.function.Supplier;

import org.junit.Test;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;

/** Photos: picked, shared, turned, too large, damaged. */
public class ImageActivityTest extends AppTestCase {
    private static final Uri PHOTO = Uri.parse("content://photos/1");

    @Test
    public void aSharedPhotoIsClassified() throws Exception {
        test();
        offer(png(300, 200, Color.rgb(10, 200, 10)));
        ImageActivity activity = share();
        until(sheetShown(activity));
        assertEquals("green", ((ScoreRow) activity.findViewById(R.id.best)).label());
        assertFalse(shown(activity, R.id.chip_rate));
        assertTrue(text(activity, R.id.chip_time).endsWith(" ms"));
    }

    @Test
    public void thePhotoIsBesideTheSheetInBothDirectionsOfText() throws Exception {
        test();
        for (String qualifiers : new String[] {"+land", "+ar-ldrtl-land"}) {
            RuntimeEnvironment.setQualifiers(qualifiers);
            offer(png(300, 200, Color.rgb(10, 200, 10)));
            ImageActivity activity = share();
            until(sheetShown(activity));
            View picture = activity.findViewById(R.id.picture);
            View sheet = activity.findViewById(R.id.sheet);
            boolean atLeft = sheet.getLeft() < picture.getWidth() / 2;
            assertEquals(qualifiers.contains("rtl"), atLeft);
            assertEquals(atLeft ? sheet.getRight() : 0, picture.getPaddingLeft());
            assertEquals(atLeft ? 0 : picture.getWidth() - sheet.getLeft(), picture.getPaddingRight());
        }
    }

    @Test
    public void aPhotoIsPickedFirst() throws Exception {
        test();
        offer(png(64, 64, Color.BLUE));
        ImageActivity activity = Robolectric.buildActivity(ImageActivity.class).setup().get();
        Intent picker = shadowOf(activity).getNextStartedActivity();
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, picker.getAction());
        assertEquals("image/*", picker.getType());
        activity.onActivityResult(1, Activity.RESULT_OK, new Intent().setData(PHOTO));
        until(sheetShown(activity));
        assertEquals("blue", ((ScoreRow) activity.findViewById(R.id.best)).label());
    }

    @Test
    public void whoPicksNothingIsBackAtOnce() throws Exception {
        ImageActivity activity = Robolectric.buildActivity(ImageActivity.class).setup().get();
        activity.onActivityResult(1, Activity.RESULT_CANCELED, null);
        assertTrue(activity.isFinishing());
    }

    @Test
    public void aDamagedPhotoIsExplained() throws Exception {
        test();
        offer("not a photo".getBytes("UTF-8"));
        final ImageActivity activity = share();
        until(new Condition() {
            @Override
            public boolean holds() {
                return says(activity, R.string.image_unreadable_title);
            }
        });
    }

    @Test
    public void anUntestedModelIsTestedBeforeAPhotoIsAnswered() throws Exception {
        offer(png(64, 64, Color.RED));
        final ImageActivity activity = share();
        until(new Condition() {
            @Override
            public boolean holds() {
                return shadowOf(activity).peekNextStartedActivity() != null;
            }
        });
        test();
        offer(png(64, 64, Color.RED));
        activity.onActivityResult(2, Activity.RESULT_OK, null);
        until(sheetShown(activity));
        assertEquals("red", ((ScoreRow) activity.findViewById(R.id.best)).label());
    }

    @Test
    public void largePhotosAreShrunkWhileTheyAreDecoded() throws Exception {
        assertEquals(1, ImageLoader.sampleSize(2048, 1000));
        assertEquals(2, ImageLoader.sampleSize(2049, 10));
        assertEquals(8, ImageLoader.sampleSize(12000, 9000));
        offer(png(5000, 40, Color.RED));
        Bitmap loaded = ImageLoader.load(app.getContentResolver(), PHOTO, true);
        assertTrue(loaded.getWidth() <= ImageLoader.MAX_SIDE);
    }

    @Test
    public void transparentPartsAreWhite() throws Exception {
        offer(png(8, 8, Color.TRANSPARENT));
        assertEquals(Color.WHITE, ImageLoader.load(app.getContentResolver(), PHOTO, true).getPixel(3, 3));
        offer(png(8, 8, Color.argb(51, 255, 0, 0)));
        int pink = ImageLoader.load(app.getContentResolver(), PHOTO, true).getPixel(3, 3);
        assertEquals(255, Color.alpha(pink));
        assertEquals(255, Color.red(pink), 1);
        assertEquals(204, Color.green(pink), 1);
    }

    @Test
    public void allEightOrientationsAreTurnedUpright() {
        Bitmap bitmap = Bitmap.createBitmap(3, 2, Bitmap.Config.ARGB_8888);
        bitmap.eraseColor(Color.BLACK);
        bitmap.setPixel(0, 0, Color.WHITE);
        int[][] white = {{0, 0}, {0, 0}, {2, 0}, {2, 1}, {0, 1}, {0, 0}, {1, 0}, {1, 2}, {0, 2}};
        for (int orientation = 1; orientation <= 8; orientation++) {
            Bitmap upright = ImageLoader.turn(bitmap, orientation);
            boolean across = orientation >= ExifInterface.ORIENTATION_TRANSPOSE;
            assertEquals(across ? 2 : 3, upright.getWidth());
            assertEquals("orientation " + orientation, Color.WHITE,
                    upright.getPixel(white[orientation][0], white[orientation][1]));
        }
    }

    private ImageActivity share() {
        Intent intent = new Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, PHOTO);
        return Robolectric.buildActivity(ImageActivity.class, intent).setup().get();
    }

    private void offer(final byte[] content) {
        shadowOf(app.getContentResolver()).registerInputStreamSupplier(PHOTO,
                new Supplier<InputStream>() {
                    @Override
                    public InputStream get() {
                        return new ByteArrayInputStream(content);
                    }
                });
    }

    private static byte[] png(int width, int height, int colour) {
        Bitmap bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888);
        bitmap.eraseColor(colour);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        bitmap.compress(Bitmap.CompressFormat.PNG, 100, out);
        return out.toByteArray();
    }

    private static Condition sheetShown(final ImageActivity activity) {
        return new Condition() {
            @Override
            public boolean holds() {
                return shown(activity, R.id.sheet) && !shown(activity, R.id.message);
            }
        };
    }
}
