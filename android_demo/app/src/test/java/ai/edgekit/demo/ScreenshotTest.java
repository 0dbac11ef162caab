package ai.edgekit.demo;

import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Canvas;
import android.graphics.Matrix;
import android.graphics.Paint;
import android.graphics.Rect;
import android.net.Uri;
import android.os.Looper;
import android.os.SystemClock;
import android.view.View;
import android.view.ViewGroup;
import android.widget.ImageView;
import android.widget.ScrollView;

import ai.edgekit.demo.runtime.Frame;
import ai.edgekit.demo.runtime.Report;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.function.Supplier;

import org.junit.Test;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;

/**
 * Draws every screen, light and dark, upright and across, into the folder edgekit.screenshots, with edgekit.photo
 * before the camera and as the photo.
 */
public class ScreenshotTest extends AppTestCase {
    private static final Uri PHOTO = Uri.parse("content://photos/1");

    @Test
    @Config(qualifiers = "w411dp-h891dp-port-notnight-xhdpi")
    public void lightPortrait() throws Exception {
        drawAll("light-portrait", false);
    }

    @Test
    @Config(qualifiers = "w411dp-h891dp-port-night-xhdpi")
    public void darkPortrait() throws Exception {
        drawAll("dark-portrait", false);
    }

    @Test
    @Config(qualifiers = "w891dp-h411dp-land-notnight-xhdpi")
    public void lightLandscape() throws Exception {
        drawAll("light-landscape", true);
    }

    @Test
    @Config(qualifiers = "w891dp-h411dp-land-night-xhdpi")
    public void darkLandscape() throws Exception {
        drawAll("dark-landscape", true);
    }

    private void drawAll(String name, boolean landscape) throws Exception {
        drawFirstStart(name);
        drawPermission(name);
        allowCamera();
        drawNoCamera(name);
        addBackCamera();
        drawCamera(name, landscape);
        drawPhoto(name);
        drawSelfTest(name);
        draw(Robolectric.buildActivity(AboutActivity.class).setup().get(), "about-" + name);
        drawRefused(name);
        drawWeird(name, landscape);
    }

    private void drawFirstStart(String name) throws Exception {
        SelfTestActivity activity = Robolectric.buildActivity(
                SelfTestActivity.class, SelfTestActivity.first(app)).setup().get();
        draw(activity, "first-start-" + name);
        until(new Condition() {
            @Override
            public boolean holds() {
                return !app.selfTest.isRunning();
            }
        });
    }

    private void drawPermission(String name) throws Exception {
        final CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(new Condition() {
            @Override
            public boolean holds() {
                return says(activity, R.string.permission_title);
            }
        });
        draw(activity, "permission-" + name);
    }

    private void drawNoCamera(String name) throws Exception {
        final CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.frames != null;
            }
        });
        give(activity);
        draw(activity, "no-camera-" + name);
    }

    private void drawCamera(String name, boolean landscape) throws Exception {
        ActivityController<CameraActivity> controller = startCamera();
        final CameraActivity activity = controller.get();
        Bitmap seen = cut(photo(), landscape ? 1280 : 720, landscape ? 720 : 1280);
        Frame frame = frame(seen, landscape ? 0 : 90);
        for (int i = 0; i < 40; i++) {
            CameraActivityTest.classify(activity, frame);
        }
        SystemClock.setCurrentTimeMillis(SystemClock.uptimeMillis() + 1000); // the chips change twice a second
        CameraActivityTest.classify(activity, frame);
        activity.showAnswer.run();
        standIn(activity, seen);
        draw(activity, "camera-" + name);
        controller.pause();
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.frames == null;
            }
        });
        shadowOf(activity.worker.getLooper()).idle();
    }

    private void drawPhoto(String name) throws Exception {
        final File photo = new File(System.getProperty("edgekit.photo"));
        shadowOf(app.getContentResolver()).registerInputStreamSupplier(PHOTO,
                new Supplier<InputStream>() {
                    @Override
                    public InputStream get() {
                        try {
                            return new ByteArrayInputStream(bytes(photo));
                        } catch (IOException error) {
                            throw new AssertionError(error);
                        }
                    }
                });
        Intent send = new Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, PHOTO);
        final ImageActivity activity = Robolectric.buildActivity(ImageActivity.class, send).setup().get();
        until(new Condition() {
            @Override
            public boolean holds() {
                return shown(activity, R.id.sheet) && !shown(activity, R.id.message);
            }
        });
        draw(activity, "photo-" + name);
    }

    private void drawSelfTest(String name) throws Exception {
        final boolean[] ended = {false};
        new SustainedRun(app, app.models.current(), 4, new SustainedRun.Listener() {
            @Override
            public void onSample(Report.Sample sample) {
            }

            @Override
            public void onEnded(String error) {
                ended[0] = true;
            }
        }).start();
        until(new Condition() {
            @Override
            public boolean holds() {
                return ended[0];
            }
        });
        SelfTestActivity activity = Robolectric.buildActivity(SelfTestActivity.class).setup().get();
        draw(activity, "self-test-" + name);
        ScrollView scroll = activity.findViewById(R.id.scroll);
        scroll.scrollTo(0, scroll.getChildAt(0).getHeight());
        draw(activity, "self-test-end-" + name);
    }

    private void drawRefused(String name) throws Exception {
        shadowOf(app.getContentResolver()).registerInputStream(
                PHOTO, new ByteArrayInputStream(bytes(model("damaged.tflite"))));
        final OpenModelActivity activity = Robolectric.buildActivity(OpenModelActivity.class).setup().get();
        activity.onActivityResult(1, Activity.RESULT_OK, new Intent().setData(PHOTO));
        until(new Condition() {
            @Override
            public boolean holds() {
                return says(activity, R.string.open_model_failed);
            }
        });
        draw(activity, "refused-" + name);
    }

    private void drawWeird(String name, boolean landscape) throws Exception {
        useModel("weird.tflite");
        test();
        CameraActivity activity = startCamera().get();
        CameraActivityTest.classify(activity, frame(40, 90, 110));
        standIn(activity, cut(photo(), landscape ? 1280 : 720, landscape ? 720 : 1280));
        draw(activity, "weird-" + name);
    }

    private static Bitmap photo() {
        return BitmapFactory.decodeFile(System.getProperty("edgekit.photo"));
    }

    /** No picture comes from Robolectric's camera: what the frame was made of is shown in its place. */
    private static void standIn(CameraActivity activity, Bitmap seen) {
        ImageView picture = new ImageView(activity);
        picture.setScaleType(ImageView.ScaleType.CENTER_CROP);
        picture.setImageBitmap(seen);
        ((ViewGroup) activity.findViewById(R.id.screen)).addView(picture, 1);
    }

    /** The largest middle part of that shape, in that size. */
    private static Bitmap cut(Bitmap photo, int width, int height) {
        float scale = Math.max((float) width / photo.getWidth(), (float) height / photo.getHeight());
        Bitmap out = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888);
        Matrix matrix = new Matrix();
        matrix.setScale(scale, scale);
        matrix.postTranslate((width - scale * photo.getWidth()) / 2, (height - scale * photo.getHeight()) / 2);
        new Canvas(out).drawBitmap(photo, matrix, new Paint(Paint.FILTER_BITMAP_FLAG));
        return out;
    }

    /** An upright picture as the camera delivers it: turned back by `rotation`, in YCbCr (BT.601, full range). */
    private static Frame frame(Bitmap upright, int rotation) {
        Matrix back = new Matrix();
        back.setRotate(-rotation);
        Bitmap turned = Bitmap.createBitmap(
                upright, 0, 0, upright.getWidth(), upright.getHeight(), back, false);
        int width = turned.getWidth();
        int height = turned.getHeight();
        int[] argb = new int[width * height];
        turned.getPixels(argb, 0, width, 0, 0, width, height);
        Frame frame = new Frame();
        frame.width = width;
        frame.height = height;
        frame.yRowStride = width;
        frame.uvRowStride = width / 2;
        frame.uvPixelStride = 1;
        frame.rotation = rotation;
        frame.y = ByteBuffer.allocateDirect(width * height);
        frame.u = ByteBuffer.allocateDirect(width * height / 4);
        frame.v = ByteBuffer.allocateDirect(width * height / 4);
        for (int row = 0; row < height; row++) {
            for (int column = 0; column < width; column++) {
                int pixel = argb[row * width + column];
                int r = pixel >> 16 & 255;
                int g = pixel >> 8 & 255;
                int b = pixel & 255;
                frame.y.put((byte) Math.round(0.299 * r + 0.587 * g + 0.114 * b));
                if (row % 2 == 0 && column % 2 == 0) {
                    frame.u.put((byte) clip(128 - 0.168736 * r - 0.331264 * g + 0.5 * b));
                    frame.v.put((byte) clip(128 + 0.5 * r - 0.418688 * g - 0.081312 * b));
                }
            }
        }
        return frame;
    }

    private static long clip(double value) {
        return Math.max(0, Math.min(255, Math.round(value)));
    }

    private static void draw(Activity activity, String name) throws Exception {
        shadowOf(Looper.getMainLooper()).idle();
        View view = activity.getWindow().getDecorView();
        Bitmap bitmap = Bitmap.createBitmap(view.getWidth(), view.getHeight(), Bitmap.Config.ARGB_8888);
        view.draw(new Canvas(bitmap));
        File folder = new File(System.getProperty("edgekit.screenshots"));
        folder.mkdirs();
        File file = new File(folder, name + ".png");
        try (OutputStream out = new FileOutputStream(file)) {
            bitmap.compress(Bitmap.CompressFormat.PNG, 100, out);
        }
        Rect visible = new Rect();
        assertTrue(view.getGlobalVisibleRect(visible));
        assertTrue(name + " is blank", file.length() > 5000);
    }
}
