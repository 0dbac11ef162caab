package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.Intent;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import android.view.View;
import android.view.ViewGroup;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.RadioButton;
import android.widget.TextView;

import ai.edgekit.demo.runtime.DelegateFactory;
import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.Report;
import ai.edgekit.demo.runtime.UnavailableException;

import java.io.FileNotFoundException;
import java.nio.charset.StandardCharsets;

import org.json.JSONObject;
import org.junit.Test;
import org.robolectric.Robolectric;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowToast;
import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.nnapi.NnApiDelegate;

/** The table of delegates: what is wrong is shown, never chosen and cannot be picked. */
public class SelfTestActivityTest extends AppTestCase {
    @Test
    public void theTableSaysWhatIsUsedAndWhy() throws Exception {
        test();
        SelfTestActivity activity = show();
        assertSees(activity, "CPU is used: the only one that answers correctly.");
        assertSees(activity, activity.getString(R.string.status_ok));
        assertSees(activity, activity.getString(R.string.status_fallback));
        assertSees(activity, activity.getString(R.string.status_unavailable));
        assertSees(activity, activity.getString(R.string.self_test_deprecated));
        View nnapi = activity.findViewById(R.id.content).findViewWithTag(DelegateKind.NNAPI);
        assertFalse(((RadioButton) nnapi.findViewById(R.id.radio)).isEnabled());
        assertTrue(nnapi.getContentDescription().toString().startsWith("NNAPI, Took no operator"));
    }

    @Test
    public void aDelegateCanBeSwitchedByHandAndBack() throws Exception {
        test();
        SelfTestActivity activity = show();
        ModelFile model = app.models.current();
        activity.findViewById(R.id.content).findViewWithTag(DelegateKind.CPU).performClick();
        assertEquals(DelegateKind.CPU, app.choice.byHand(model));
        View cpu = activity.findViewById(R.id.content).findViewWithTag(DelegateKind.CPU);
        assertTrue(((RadioButton) cpu.findViewById(R.id.radio)).isChecked());

        activity.findViewById(R.id.content).findViewWithTag(DelegateKind.NNAPI).performClick();
        assertEquals(DelegateKind.CPU, app.choice.byHand(model));
        assertEquals("NNAPI cannot be used: it did not pass the self-test.", ShadowToast.getTextOfLatestToast());

        View automatic = activity.findViewById(R.id.radio); // the first card
        ((View) automatic.getParent()).performClick();
        assertNull(app.choice.byHand(model));
    }

    @Test
    public void aModelThatNothingComputesCorrectlyIsNotUsed() throws Exception {
        useModel("wrong.tflite");
        TestResult result = test();
        assertEquals("wrong", result.rows.get(0).status);
        assertNull(result.chosen);
        SelfTestActivity activity = show();
        assertSees(activity, activity.getString(R.string.self_test_none));
        assertSees(activity, activity.getString(R.string.status_wrong));

        allowCamera();
        addBackCamera();
        final CameraActivity camera = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(new Condition() {
            @Override
            public boolean holds() {
                return says(camera, R.string.no_delegate_title);
            }
        });
    }

    /** What fails in every way that vendors' drivers fail: the app goes on with the CPU. */
    @Test
    public void aDelegateThatThrowsIsShownAndNotChosen() throws Exception {
        app.delegates = new DelegateFactory() {
            @Override
            public Delegate create(DelegateKind kind, ModelFile model) throws Exception {
                if (kind == DelegateKind.GPU) {
                    throw new UnsatisfiedLinkError("libOpenCL.so not found");
                }
                throw new UnavailableException("not here");
            }
        };
        TestResult result = test();
        assertEquals("failed", result.rows.get(1).status);
        assertEquals("libOpenCL.so not found", result.rows.get(1).detail);
        assertEquals("unavailable", result.rows.get(2).status);
        assertEquals(DelegateKind.CPU, result.chosen);
        SelfTestActivity activity = show();
        assertSees(activity, "libOpenCL.so not found");
    }

    /** A delegate of the GPU that takes nothing is a silent fallback; the model's own NNAPI delegate is one here. */
    @Test
    public void aSilentFallbackIsNotChosen() throws Exception {
        app.delegates = new DelegateFactory() {
            @Override
            public Delegate create(DelegateKind kind, ModelFile model) {
                return new NnApiDelegate(); // there is no NNAPI on this machine
            }
        };
        TestResult result = test();
        assertEquals("fallback", result.rows.get(1).status);
        assertEquals("fallback", result.rows.get(2).status);
        assertEquals(0, result.rows.get(1).delegatedNodes);
        assertEquals(DelegateKind.CPU, result.chosen);
    }

    @Test
    public void runningAgainForgetsCrashes() throws Exception {
        ModelFile model = app.models.current();
        app.marker.trying(DelegateKind.NNAPI, model.digest);
        app.marker = new PreferencesCrashMarker(app);
        app.choice = new DelegateChoice(app, app.marker);
        test();
        SelfTestActivity activity = show();
        assertSees(activity, activity.getString(R.string.status_crashed));
        assertSees(activity, activity.getString(R.string.self_test_retry_crashed));
        button(activity, R.string.self_test_again).performClick();
        until(new Condition() {
            @Override
            public boolean holds() {
                return !app.selfTest.isRunning();
            }
        });
        assertSees(activity, activity.getString(R.string.status_fallback));
    }

    @Test
    public void theReportIsSharedAsJson() throws Exception {
        test();
        SelfTestActivity activity = show();
        button(activity, R.string.self_test_share).performClick();
        Intent chooser = shadowOf(activity).getNextStartedActivity();
        Intent send = chooser.getParcelableExtra(Intent.EXTRA_INTENT);
        assertEquals("application/json", send.getType());
        Uri uri = send.getParcelableExtra(Intent.EXTRA_STREAM);
        assertEquals("content://ai.edgekit.demo.reports/report.json", uri.toString());
        assertEquals("application/json", activity.getContentResolver().getType(uri));
        JSONObject report;
        try (ParcelFileDescriptor file = activity.getContentResolver().openFileDescriptor(uri, "r")) {
            assertTrue(file.getStatSize() > 0);
            report = new JSONObject(new String(bytes(ReportProvider.file(app)), StandardCharsets.UTF_8));
        }
        assertEquals(app.models.current().digest, report.getJSONObject("model").getString("sha256"));
        assertEquals(3, report.getJSONArray("runs").length());
        for (String other : new String[] {"content://ai.edgekit.demo.reports/../shared_prefs/self_test.xml",
                "content://ai.edgekit.demo.reports/other"}) {
            try {
                activity.getContentResolver().openFileDescriptor(Uri.parse(other), "r");
                throw new AssertionError(other);
            } catch (FileNotFoundException | SecurityException expected) {
                continue;
            }
        }
    }

    @Test
    public void aSustainedRunIsMeasuredAndKept() throws Exception {
        test();
        final boolean[] ended = {false};
        final int[] samples = {0};
        new SustainedRun(app, app.models.current(), 2, new SustainedRun.Listener() {
            @Override
            public void onSample(Report.Sample sample) {
                samples[0]++;
                assertTrue(sample.fps > 0);
                assertEquals("none", sample.thermal);
            }

            @Override
            public void onEnded(String error) {
                assertNull(error);
                ended[0] = true;
            }
        }).start();
        until(new Condition() {
            @Override
            public boolean holds() {
                return ended[0];
            }
        });
        assertEquals(2, samples[0]);
        assertEquals(2, app.choice.result(app.models.current()).sustained.getJSONArray("samples").length());
        SelfTestActivity activity = show();
        assertSees(activity, "heat: none");
    }

    @Test
    public void aSustainedRunCanBeStopped() throws Exception {
        test();
        final SelfTestActivity activity = show();
        button(activity, R.string.self_test_sustained_start).performClick();
        assertTrue(0 != (activity.getWindow().getAttributes().flags
                & WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON));
        button(activity, R.string.self_test_sustained_stop).performClick();
        until(new Condition() {
            @Override
            public boolean holds() {
                return button(activity, R.string.self_test_sustained_start) != null;
            }
        });
        assertEquals(0, activity.getWindow().getAttributes().flags
                & WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
    }

    @Test
    public void nothingElseStartsDuringASustainedRun() throws Exception {
        test();
        final SelfTestActivity activity = show();
        button(activity, R.string.self_test_sustained_start).performClick();
        activity.findViewById(R.id.content).findViewWithTag(DelegateKind.CPU).performClick();
        assertNull(app.choice.byHand(app.models.current()));
        assertEquals("Stop the sustained run first.", ShadowToast.getTextOfLatestToast());
        button(activity, R.string.self_test_again).performClick();
        assertFalse(app.selfTest.isRunning());
        button(activity, R.string.self_test_sustained_stop).performClick();
        until(new Condition() {
            @Override
            public boolean holds() {
                return button(activity, R.string.self_test_sustained_start) != null;
            }
        });
        button(activity, R.string.self_test_again).performClick();
        assertTrue(app.selfTest.isRunning());
        until(new Condition() {
            @Override
            public boolean holds() {
                return !app.selfTest.isRunning();
            }
        });
    }

    /** Else it would be timed together with the camera's frames. */
    @Test
    public void nothingIsClassifiedDuringTheTest() throws Exception {
        test();
        ModelFile model = app.models.current();
        app.selfTest.start(model);
        try (Engine engine = Engine.open(app)) {
            throw new AssertionError("opened " + engine.kind);
        } catch (NotReadyException expected) {
            assertEquals(NotReadyException.Remedy.TEST, expected.remedy);
        }
        final SelfTestActivity waiting =
                Robolectric.buildActivity(SelfTestActivity.class, SelfTestActivity.first(app)).setup().get();
        until(new Condition() {
            @Override
            public boolean holds() {
                return waiting.isFinishing();
            }
        });
        assertEquals(Activity.RESULT_OK, shadowOf(waiting).getResultCode());
        Engine.open(app).close();
        SelfTestActivity late =
                Robolectric.buildActivity(SelfTestActivity.class, SelfTestActivity.first(app)).setup().get();
        assertTrue(late.isFinishing());
        assertEquals(Activity.RESULT_OK, shadowOf(late).getResultCode());
    }

    @Test
    public void aTestedModelIsNotTestedAgainAfterTheTestOfAnother() throws Exception {
        test();
        String report = app.choice.report(app.models.current()).toString();
        app.selfTest.start(app.models.read(model("weird.tflite")));
        final SelfTestActivity activity = show();
        until(new Condition() {
            @Override
            public boolean holds() {
                return !app.selfTest.isRunning();
            }
        });
        assertFalse(shown(activity, R.id.message));
        assertEquals(report, app.choice.report(app.models.current()).toString());
    }

    @Test
    public void aFirstTestThatEndsWhileTheScreenIsAwayIsHeededOnReturn() throws Exception {
        ActivityController<SelfTestActivity> controller =
                Robolectric.buildActivity(SelfTestActivity.class, SelfTestActivity.first(app)).setup();
        controller.pause().stop();
        until(new Condition() {
            @Override
            public boolean holds() {
                return !app.selfTest.isRunning();
            }
        });
        assertFalse(controller.get().isFinishing());
        controller.start().resume();
        assertTrue(controller.get().isFinishing());
        assertEquals(Activity.RESULT_OK, shadowOf(controller.get()).getResultCode());
    }

    /** Android stops the screen that is left after it has started the one that comes. */
    @Test
    public void theScreenThatComesKeepsHearingOfTheTest() throws Exception {
        ActivityController<SelfTestActivity> left = Robolectric.buildActivity(SelfTestActivity.class).setup();
        left.pause();
        final SelfTestActivity activity = show();
        left.stop();
        until(new Condition() {
            @Override
            public boolean holds() {
                return !app.selfTest.isRunning();
            }
        });
        assertFalse(shown(activity, R.id.message));
    }

    private static SelfTestActivity show() {
        return Robolectric.buildActivity(SelfTestActivity.class).setup().get();
    }

    static Button button(Activity activity, int label) {
        return find((ViewGroup) activity.findViewById(R.id.screen), activity.getString(label));
    }

    private static Button find(ViewGroup group, String label) {
        for (int i = 0; i < group.getChildCount(); i++) {
            View child = group.getChildAt(i);
            if (child instanceof Button && label.contentEquals(((Button) child).getText())) {
                return (Button) child;
            }
            Button found = child instanceof ViewGroup ? find((ViewGroup) child, label) : null;
            if (found != null) {
                return found;
            }
        }
        return null;
    }

    static void assertSees(Activity activity, String text) {
        StringBuilder all = new StringBuilder();
        collect(activity.findViewById(R.id.screen), all);
        assertTrue(text + "\nis not in\n" + all, all.indexOf(text) >= 0);
    }

    private static void collect(View view, StringBuilder all) {
        if (view instanceof TextView && view.isShown()) {
            all.append(((TextView) view).getText()).append('\n');
        }
        if (view instanceof ViewGroup) {
            for (int i = 0; i < ((ViewGroup) view).getChildCount(); i++) {
                collect(((ViewGroup) view).getChildAt(i), all);
            }
        }
    }
}
