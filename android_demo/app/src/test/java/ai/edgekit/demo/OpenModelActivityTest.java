package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.Intent;
import android.net.Uri;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;

import org.junit.Test;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowToast;

/** A model from the phone's files: used when it is good, refused with a reason when it is not. */
public class OpenModelActivityTest extends AppTestCase {
    private static final Uri FILE = Uri.parse("content://files/model");

    @Test
    public void aGoodModelIsTestedAndUsed() throws Exception {
        final OpenModelActivity activity = open("weird.tflite");
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.isFinishing();
            }
        });
        assertTrue(app.models.isOpened());
        assertTrue(app.choice.isTested(app.models.current()));
        assertEquals(3, app.models.current().spec.labels.size());
        assertTrue(ShadowToast.getTextOfLatestToast().startsWith("Now in use: "));
    }

    @Test
    public void aDamagedFileIsRefused() throws Exception {
        assertRefused("damaged.tflite", "damaged .tflite file");
    }

    @Test
    public void aFileWithoutASpecIsRefused() throws Exception {
        assertRefused("without_spec.tflite", "no edgekit spec");
    }

    @Test
    public void aModelThatIsComputedWronglyIsRefused() throws Exception {
        assertRefused("wrong.tflite", "no delegate of this phone");
    }

    @Test
    public void whatCannotBeReadIsRefused() throws Exception {
        shadowOf(app.getContentResolver()).registerInputStream(FILE, new InputStream() {
            @Override
            public int read() throws IOException {
                throw new IOException("the card was removed");
            }
        });
        final OpenModelActivity activity = Robolectric.buildActivity(OpenModelActivity.class).setup().get();
        activity.onActivityResult(1, Activity.RESULT_OK, new Intent().setData(FILE));
        until(refused(activity));
        assertFalse(app.models.isOpened());
    }

    /** Other apps answer for their files, with whatever they throw. */
    @Test
    public void anAppThatFailsToGiveItsFileIsNoCrash() throws Exception {
        shadowOf(app.getContentResolver()).registerInputStream(FILE, new InputStream() {
            @Override
            public int read() {
                throw new IllegalStateException("the other app has a fault");
            }
        });
        final OpenModelActivity activity = Robolectric.buildActivity(OpenModelActivity.class).setup().get();
        activity.onActivityResult(1, Activity.RESULT_OK, new Intent().setData(FILE));
        until(refused(activity));
        assertNoCandidate();
    }

    @Test
    public void aTestThatEndsWhileTheScreenIsAwayIsHeededOnReturn() throws Exception {
        shadowOf(app.getContentResolver()).registerInputStream(
                FILE, new ByteArrayInputStream(bytes(model("weird.tflite"))));
        ActivityController<OpenModelActivity> controller = Robolectric.buildActivity(OpenModelActivity.class).setup();
        controller.get().onActivityResult(1, Activity.RESULT_OK, new Intent().setData(FILE));
        until(testRuns(true));
        controller.pause().stop();
        until(testRuns(false));
        assertFalse(controller.get().isFinishing());
        controller.start().resume();
        assertTrue(controller.get().isFinishing());
        assertTrue(app.models.isOpened());
    }

    /** The first file is mapped into memory while it is tested: it must not be written over. */
    @Test
    public void anotherFileCanBeOpenedWhileOneIsTested() throws Exception {
        shadowOf(app.getContentResolver()).registerInputStream(
                FILE, new ByteArrayInputStream(bytes(model("weird.tflite"))));
        ActivityController<OpenModelActivity> left = Robolectric.buildActivity(OpenModelActivity.class).setup();
        left.get().onActivityResult(1, Activity.RESULT_OK, new Intent().setData(FILE));
        until(testRuns(true));
        left.pause().stop().destroy();
        final OpenModelActivity activity = open("unsure.tflite");
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.isFinishing();
            }
        });
        assertEquals(Double.valueOf(0.9), app.models.current().spec.output.calibration.threshold);
        assertNoCandidate();
    }

    private void assertNoCandidate() {
        for (String name : app.getFilesDir().list()) {
            assertFalse(name, name.startsWith("candidate"));
        }
    }

    private Condition testRuns(final boolean runs) {
        return new Condition() {
            @Override
            public boolean holds() {
                return app.selfTest.isRunning() == runs;
            }
        };
    }

    private void assertRefused(String name, String why) throws Exception {
        String before = app.models.current().digest;
        final OpenModelActivity activity = open(name);
        until(refused(activity));
        assertTrue(text(activity, R.id.message_text), text(activity, R.id.message_text).contains(why));
        assertEquals(before, app.models.current().digest);
        assertFalse(app.models.isOpened());
        assertNoCandidate();
    }

    private OpenModelActivity open(String name) throws Exception {
        shadowOf(app.getContentResolver()).registerInputStream(FILE, new ByteArrayInputStream(bytes(model(name))));
        OpenModelActivity activity = Robolectric.buildActivity(OpenModelActivity.class).setup().get();
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, shadowOf(activity).getNextStartedActivity().getAction());
        activity.onActivityResult(1, Activity.RESULT_OK, new Intent().setData(FILE));
        return activity;
    }

    private static Condition refused(final OpenModelActivity activity) {
        return new Condition() {
            @Override
            public boolean holds() {
                return says(activity, R.string.open_model_failed);
            }
        };
    }
}
