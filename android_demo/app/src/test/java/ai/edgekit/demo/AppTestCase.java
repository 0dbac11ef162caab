package ai.edgekit.demo;

import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.app.Activity;
import android.content.Context;
import android.content.ContextWrapper;
import android.content.res.AssetManager;
import android.content.res.Resources;
import android.graphics.SurfaceTexture;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraManager;
import android.os.Looper;
import android.view.View;
import android.widget.TextView;

import ai.edgekit.demo.runtime.Frame;
import ai.edgekit.demo.runtime.ModelFile;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;

import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadows.ShadowCameraCharacteristics;

/**
 * What the tests of the screens share. The packaged model and the others (system property edgekit.models) tell the
 * colour of an image: red, green or blue; they run in the app's own native library.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 35, qualifiers = "w411dp-h891dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public abstract class AppTestCase {
    private static final long PATIENCE_MS = 120_000;

    protected final DemoApplication app = (DemoApplication) RuntimeEnvironment.getApplication();

    /** Something that becomes true in a while. */
    interface Condition {
        boolean holds() throws Exception;
    }

    /** Lets the app work until something holds. */
    static void until(Condition condition) throws Exception {
        long end = System.currentTimeMillis() + PATIENCE_MS;
        while (!condition.holds()) {
            assertTrue("it takes too long", System.currentTimeMillis() < end);
            Thread.sleep(5);
            shadowOf(Looper.getMainLooper()).idle();
        }
        shadowOf(Looper.getMainLooper()).idle();
    }

    static File model(String name) {
        return new File(System.getProperty("edgekit.models"), name);
    }

    /** Uses a model file as if the user had opened it. */
    ModelFile useModel(String name) throws Exception {
        Files.copy(model(name).toPath(), new File(app.getFilesDir(), "opened.tflite").toPath(),
                StandardCopyOption.REPLACE_EXISTING);
        app.models = new ModelStore(app);
        return app.models.current();
    }

    /** Makes the app one that carries no model. */
    void takeModelAway() {
        app.models = new ModelStore(new ContextWrapper(app) {
            @Override
            public AssetManager getAssets() {
                return Resources.getSystem().getAssets(); // the platform's, where the app's are not
            }
        });
    }

    /** Tests the model in use, as the first start does. */
    TestResult test() throws Exception {
        ModelFile model = app.models.current();
        app.selfTest.start(model);
        until(new Condition() {
            @Override
            public boolean holds() {
                return !app.selfTest.isRunning();
            }
        });
        return app.choice.result(model);
    }

    void allowCamera() {
        shadowOf(app).grantPermissions(Manifest.permission.CAMERA);
    }

    void addCamera(String id, int facing, int sensor) {
        CameraCharacteristics camera = ShadowCameraCharacteristics.newCameraCharacteristics();
        shadowOf(camera).set(CameraCharacteristics.LENS_FACING, facing);
        shadowOf(camera).set(CameraCharacteristics.SENSOR_ORIENTATION, sensor);
        shadowOf((CameraManager) app.getSystemService(Context.CAMERA_SERVICE)).addCamera(id, camera);
    }

    void addBackCamera() {
        addCamera("0", CameraCharacteristics.LENS_FACING_BACK, 90);
    }

    /** The camera screen with a tested model, its camera running. */
    ActivityController<CameraActivity> startCamera() throws Exception {
        final ActivityController<CameraActivity> controller = Robolectric.buildActivity(CameraActivity.class).setup();
        give(controller.get());
        until(new Condition() {
            @Override
            public boolean holds() {
                return controller.get().camera.hasSession();
            }
        });
        return controller;
    }

    /** Gives the preview a surface, which a phone's renderer would. */
    static void give(CameraActivity activity) throws Exception {
        give(activity, new SurfaceTexture(0));
    }

    static void give(CameraActivity activity, SurfaceTexture texture) throws Exception {
        PreviewView preview = activity.findViewById(R.id.preview);
        preview.setSurfaceTexture(texture);
        preview.getSurfaceTextureListener().onSurfaceTextureAvailable(texture, 1, 1);
        shadowOf(Looper.getMainLooper()).idle();
    }

    /** A frame of one colour, YCbCr, turned by 90 degrees. */
    static Frame frame(int y, int cb, int cr) {
        Frame frame = new Frame();
        frame.width = 64;
        frame.height = 48;
        frame.yRowStride = 64;
        frame.uvRowStride = 32;
        frame.uvPixelStride = 1;
        frame.rotation = 90;
        frame.y = plane(64 * 48, y);
        frame.u = plane(32 * 24, cb);
        frame.v = plane(32 * 24, cr);
        return frame;
    }

    private static ByteBuffer plane(int bytes, int value) {
        ByteBuffer plane = ByteBuffer.allocateDirect(bytes);
        while (plane.hasRemaining()) {
            plane.put((byte) value);
        }
        return plane;
    }

    static String text(Activity activity, int id) {
        return ((TextView) activity.findViewById(id)).getText().toString();
    }

    static boolean shown(Activity activity, int id) {
        View view = activity.findViewById(id);
        return view != null && view.isShown();
    }

    /** Whether the message of a screen is shown with this title. */
    static boolean says(Activity activity, int title) {
        return shown(activity, R.id.message) && text(activity, R.id.message_title).equals(activity.getString(title));
    }

    static byte[] bytes(File file) throws IOException {
        return Files.readAllBytes(file.toPath());
    }
}
