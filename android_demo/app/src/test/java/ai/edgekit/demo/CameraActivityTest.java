package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.graphics.SurfaceTexture;
import android.hardware.camera2.CameraCharacteristics;
import android.os.Looper;
import android.provider.Settings;
import android.util.Size;
import android.view.Gravity;
import android.view.Surface;
import android.view.View;
import android.view.ViewGroup;
import android.widget.FrameLayout;
import android.widget.LinearLayout;
import android.widget.TextView;

import ai.edgekit.demo.runtime.Frame;
import ai.edgekit.demo.runtime.ModelFile;

import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;

import org.junit.Test;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowDisplay;

/** The first screen, from launch to answers, and everything that can be missing. */
public class CameraActivityTest extends AppTestCase {
    @Test
    public void theFirstStartTestsTheModelAndThenClassifies() throws Exception {
        allowCamera();
        addBackCamera();
        final CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(nextActivity(activity));
        Intent test = shadowOf(activity).getNextStartedActivity();
        assertEquals(SelfTestActivity.class.getName(), test.getComponent().getClassName());

        final SelfTestActivity selfTest = Robolectric.buildActivity(SelfTestActivity.class, test).setup().get();
        assertTrue(says(selfTest, R.string.self_test_first_title));
        until(new Condition() {
            @Override
            public boolean holds() {
                return selfTest.isFinishing();
            }
        });
        assertEquals(Activity.RESULT_OK, shadowOf(selfTest).getResultCode());

        CameraActivity camera = startCamera().get();
        assertTrue(shown(camera, R.id.sheet));
        assertFalse(shown(camera, R.id.message));
        classify(camera, frame(76, 85, 255));
        assertEquals("red", best(camera).label());
        assertTrue(best(camera).score() > 0.9f);
        assertEquals("CPU", text(camera, R.id.chip_delegate));
        assertTrue(text(camera, R.id.chip_time).endsWith(" ms"));
        assertEquals("red, " + ScoreRow.percent(best(camera).score()), best(camera).description());
    }

    @Test
    public void leavingTheFirstTestLeavesTheApp() {
        CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        activity.onActivityResult(2, Activity.RESULT_CANCELED, null);
        assertTrue(activity.isFinishing());
    }

    @Test
    public void whatTheUserDeniesIsAskedForOnceAndThenExplained() throws Exception {
        test();
        addBackCamera();
        final CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(message(activity, R.string.permission_title));
        assertEquals(Manifest.permission.CAMERA,
                shadowOf(activity).getLastRequestedPermission().requestedPermissions[0]);

        shadowOf(app.getPackageManager()).setShouldShowRequestPermissionRationale(Manifest.permission.CAMERA, true);
        deny(activity);
        assertEquals(activity.getString(R.string.permission_allow), text(activity, R.id.message_first));

        shadowOf(app.getPackageManager()).setShouldShowRequestPermissionRationale(Manifest.permission.CAMERA, false);
        deny(activity);
        assertEquals(activity.getString(R.string.permission_settings), text(activity, R.id.message_first));
        activity.findViewById(R.id.message_first).performClick();
        assertEquals(Settings.ACTION_APPLICATION_DETAILS_SETTINGS,
                shadowOf(activity).getNextStartedActivity().getAction());

        activity.findViewById(R.id.message_second).performClick(); // photos need no permission
        assertEquals(ImageActivity.class.getName(),
                shadowOf(activity).getNextStartedActivity().getComponent().getClassName());
    }

    @Test
    public void aDeviceWithoutACameraSaysSo() throws Exception {
        test();
        allowCamera();
        CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(loaded(activity));
        give(activity);
        until(message(activity, R.string.no_camera_title));
        assertFalse(shown(activity, R.id.sheet));
        assertEquals(activity.getString(R.string.try_again), text(activity, R.id.message_first));
    }

    @Test
    public void anAppWithoutAModelSaysSo() throws Exception {
        takeModelAway();
        CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(message(activity, R.string.model_missing_title));
        activity.findViewById(R.id.message_first).performClick();
        assertEquals(OpenModelActivity.class.getName(),
                shadowOf(activity).getNextStartedActivity().getComponent().getClassName());
        Robolectric.buildActivity(AboutActivity.class).setup();
        SelfTestActivity test = Robolectric.buildActivity(SelfTestActivity.class).setup().get();
        assertTrue(says(test, R.string.self_test_failed_title));
    }

    @Test
    public void aDamagedModelSaysSoAndThePackagedOneIsOneTapAway() throws Exception {
        test();
        File opened = new File(app.getFilesDir(), "opened.tflite");
        byte[] damaged = bytes(model("damaged.tflite"));
        Files.write(opened.toPath(), damaged);
        app.models = new ModelStore(app);
        allowCamera();
        addBackCamera();
        final CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(message(activity, R.string.model_damaged_title));
        assertTrue(text(activity, R.id.message_text), text(activity, R.id.message_text).contains(".tflite"));

        activity.findViewById(R.id.message_second).performClick();
        until(loaded(activity));
        assertFalse(opened.exists());
        assertFalse(app.models.isOpened());
    }

    @Test
    public void theSheetIsBelowInPortraitAndAtTheRightInLandscape() throws Exception {
        test();
        allowCamera();
        addBackCamera();
        ActivityController<CameraActivity> controller = startCamera();
        CameraActivity activity = controller.get();
        assertEquals(Gravity.BOTTOM, sheet(activity).gravity & Gravity.VERTICAL_GRAVITY_MASK);
        Camera before = activity.camera;

        RuntimeEnvironment.setQualifiers("+land");
        controller.configurationChange();
        assertTrue("the activity was made anew", activity == controller.get());
        assertTrue(before.hasSession());
        assertEquals(Gravity.END | Gravity.BOTTOM, sheet(activity).gravity);
        shadowOf(Looper.getMainLooper()).idle();
        int screen = activity.findViewById(R.id.screen).getWidth();
        assertTrue(activity.findViewById(R.id.sheet).getLeft() > screen / 2);
        assertTrue(activity.findViewById(R.id.sheet).getRight() < screen);

        RuntimeEnvironment.setQualifiers("+port");
        controller.configurationChange();
        assertEquals(Gravity.BOTTOM, sheet(activity).gravity & Gravity.VERTICAL_GRAVITY_MASK);
    }

    @Test
    public void chipsAreBelowOneAnotherWhereLargeTextLeavesNoRoom() throws Exception {
        RuntimeEnvironment.setQualifiers("w320dp-h568dp-xhdpi");
        test();
        allowCamera();
        addBackCamera();
        CameraActivity usual = startCamera().get();
        assertEquals(LinearLayout.HORIZONTAL, ((LinearLayout) usual.findViewById(R.id.chips)).getOrientation());
        RuntimeEnvironment.setFontScale(2);
        CameraActivity large = startCamera().get();
        assertEquals(LinearLayout.VERTICAL, ((LinearLayout) large.findViewById(R.id.chips)).getOrientation());
        shadowOf(Looper.getMainLooper()).idle();
        TextView rate = large.findViewById(R.id.chip_rate);
        assertEquals(0, rate.getLayout().getEllipsisCount(0));
    }

    /** The view makes its own size that of the texture's pictures whenever it is laid out anew. */
    @Test
    public void thePreviewKeepsItsSizeWhenTheScreenIsTurned() throws Exception {
        test();
        allowCamera();
        addBackCamera();
        final CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(loaded(activity));
        final List<Size> sizes = new ArrayList<>();
        give(activity, new SurfaceTexture(0) {
            @Override
            public void setDefaultBufferSize(int width, int height) {
                sizes.add(new Size(width, height));
            }
        });
        Size chosen = sizes.get(sizes.size() - 1);
        activity.findViewById(R.id.preview).layout(0, 0, 321, 123);
        assertTrue(sizes.contains(new Size(321, 123)));
        assertEquals(chosen, sizes.get(sizes.size() - 1));
    }

    @Test
    public void framesAreTurnedUprightInAllFourOrientations() throws Exception {
        test();
        allowCamera();
        addBackCamera();
        CameraActivity activity = startCamera().get();
        int[] turns = {Surface.ROTATION_0, Surface.ROTATION_90, Surface.ROTATION_180, Surface.ROTATION_270};
        int[] upright = {90, 0, 270, 180};
        for (int i = 0; i < turns.length; i++) {
            shadowOf(ShadowDisplay.getDefaultDisplay()).setRotation(turns[i]);
            shadowOf(Looper.getMainLooper()).idle();
            assertEquals(upright[i], activity.frameRotation());
        }
    }

    @Test
    public void theOtherCameraIsOneTapAwayWhereThereIsOne() throws Exception {
        test();
        allowCamera();
        addBackCamera();
        CameraActivity alone = startCamera().get();
        assertFalse(shown(alone, R.id.switch_camera));

        addCamera("1", CameraCharacteristics.LENS_FACING_FRONT, 270);
        final CameraActivity activity = startCamera().get();
        assertTrue(shown(activity, R.id.switch_camera));
        activity.findViewById(R.id.switch_camera).performClick();
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.camera.hasSession();
            }
        });
        assertEquals(270, activity.frameRotation());
    }

    /** What an earlier camera still has to say must not be taken for the newest one's. */
    @Test
    public void hurriedTapsEndWithTheCameraThatWasWantedLast() throws Exception {
        test();
        allowCamera();
        addBackCamera();
        addCamera("1", CameraCharacteristics.LENS_FACING_FRONT, 270);
        final CameraActivity activity = startCamera().get();
        activity.findViewById(R.id.switch_camera).performClick();
        activity.findViewById(R.id.switch_camera).performClick();
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.camera.hasSession();
            }
        });
        assertEquals(90, activity.frameRotation());
        assertEquals("0", activity.camera.openId());
        assertFalse(shown(activity, R.id.message));
    }

    @Test
    public void anUnsureAnswerIsShownAsOne() throws Exception {
        useModel("unsure.tflite");
        test();
        allowCamera();
        addBackCamera();
        CameraActivity activity = startCamera().get();
        classify(activity, frame(120, 128, 128));
        assertTrue(best(activity).label(), best(activity).label().startsWith("Not sure: "));
    }

    /** Only an answer that was sure before stays so a little below the threshold. */
    @Test
    public void anAnswerHasToReachTheThresholdOnceToBeSure() throws Exception {
        ModelFile model = useModel("unsure.tflite");
        test();
        double threshold = model.spec.output.calibration.threshold;
        FrameClassifier.Answer answer = new FrameClassifier.Answer();
        int close = 0;
        try (Engine engine = Engine.open(app)) {
            for (int cr = 128; cr < 256; cr++) {
                FrameClassifier first = new FrameClassifier(engine);
                first.classify(frame(76, 85, cr));
                first.read(answer);
                assertEquals(answer.scores[0] >= threshold, answer.sure);
                if (answer.scores[0] < threshold - 0.005 && answer.scores[0] > threshold - 0.025) {
                    close = cr;
                }
            }
            assertTrue("no frame is close to the threshold", close > 0);
            FrameClassifier changed = new FrameClassifier(engine);
            changed.classify(frame(29, 255, 107));
            changed.read(answer);
            assertTrue(answer.sure);
            Thread.sleep(2000); // what the smoothing remembers of that frame fades
            changed.classify(frame(76, 85, close));
            changed.read(answer);
            assertEquals("red", model.spec.labels.get(answer.labels[0]));
            assertFalse(answer.sure);
        }
    }

    @Test
    public void aScreenReaderFindsEveryRowAndNothingUnderAMessage() throws Exception {
        test();
        allowCamera();
        addBackCamera();
        CameraActivity activity = startCamera().get();
        ViewGroup rows = activity.findViewById(R.id.rows);
        assertTrue(rows.getChildAt(0).isImportantForAccessibility());
        View sheet = activity.findViewById(R.id.sheet);
        View preview = activity.findViewById(R.id.preview);
        assertEquals(View.IMPORTANT_FOR_ACCESSIBILITY_AUTO, sheet.getImportantForAccessibility());
        activity.camera.fail();
        assertTrue(says(activity, R.string.camera_error_title));
        assertFalse(activity.findViewById(R.id.more).isImportantForAccessibility());
        assertEquals(View.IMPORTANT_FOR_ACCESSIBILITY_NO_HIDE_DESCENDANTS, sheet.getImportantForAccessibility());
        activity.findViewById(R.id.message_first).performClick();
        assertTrue(activity.findViewById(R.id.more).isImportantForAccessibility());
        assertEquals(View.IMPORTANT_FOR_ACCESSIBILITY_AUTO, sheet.getImportantForAccessibility());
        assertEquals(View.IMPORTANT_FOR_ACCESSIBILITY_NO, preview.getImportantForAccessibility());
    }

    @Test
    public void weirdLabelsAreShownSafely() throws Exception {
        useModel("weird.tflite");
        test();
        allowCamera();
        addBackCamera();
        CameraActivity activity = startCamera().get();
        classify(activity, frame(76, 85, 255));
        shadowOf(Looper.getMainLooper()).idle();
        assertEquals("🦊 fox \uFFFD", best(activity).label());
    }

    @Test
    public void leavingTheScreenClosesTheCameraAndKeepsWhatWasMeasured() throws Exception {
        test();
        allowCamera();
        addBackCamera();
        ActivityController<CameraActivity> controller = startCamera();
        final CameraActivity activity = controller.get();
        for (int i = 0; i < 5; i++) {
            classify(activity, frame(76, 85, 255));
        }
        controller.pause();
        assertFalse(activity.camera.isOpen());
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.frames == null;
            }
        });
        shadowOf(activity.worker.getLooper()).idle();
        assertEquals(5, app.choice.result(app.models.current()).live.getInt("frames"));
        controller.resume();
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.camera.hasSession();
            }
        });
    }

    @Test
    public void theMenuLeadsEverywhere() throws Exception {
        CameraActivity activity = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(nextActivity(activity));
        shadowOf(activity).getNextStartedActivity();
        activity.choose(R.string.menu_about);
        assertEquals(AboutActivity.class.getName(),
                shadowOf(activity).getNextStartedActivity().getComponent().getClassName());
        activity.choose(R.string.menu_open_model);
        assertEquals(OpenModelActivity.class.getName(),
                shadowOf(activity).getNextStartedActivity().getComponent().getClassName());
        activity.choose(R.string.menu_self_test);
        assertEquals(SelfTestActivity.class.getName(),
                shadowOf(activity).getNextStartedActivity().getComponent().getClassName());
        assertNull(shadowOf(activity).getNextStartedActivity());
    }

    static void classify(final CameraActivity activity, final Frame frame) throws Exception {
        final Throwable[] problem = {null};
        activity.worker.post(new Runnable() {
            @Override
            public void run() {
                try {
                    activity.frames.classify(frame);
                } catch (Throwable error) {
                    problem[0] = error;
                }
            }
        });
        shadowOf(activity.worker.getLooper()).idle();
        if (problem[0] != null) {
            throw new AssertionError(problem[0]);
        }
        activity.showAnswer.run();
        shadowOf(Looper.getMainLooper()).idle();
    }

    static ScoreRow best(CameraActivity activity) {
        return activity.findViewById(R.id.best);
    }

    private static void deny(CameraActivity activity) {
        activity.onRequestPermissionsResult(1, new String[] {Manifest.permission.CAMERA},
                new int[] {PackageManager.PERMISSION_DENIED});
        shadowOf(Looper.getMainLooper()).idle();
    }

    private static FrameLayout.LayoutParams sheet(CameraActivity activity) {
        return (FrameLayout.LayoutParams) activity.findViewById(R.id.sheet).getLayoutParams();
    }

    private static Condition message(final CameraActivity activity, final int title) {
        return new Condition() {
            @Override
            public boolean holds() {
                return says(activity, title);
            }
        };
    }

    private static Condition loaded(final CameraActivity activity) {
        return new Condition() {
            @Override
            public boolean holds() {
                return activity.frames != null;
            }
        };
    }

    private static Condition nextActivity(final CameraActivity activity) {
        return new Condition() {
            @Override
            public boolean holds() {
                return shadowOf(activity).peekNextStartedActivity() != null;
            }
        };
    }
}
