package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import android.view.View;
import android.widget.RadioButton;

import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.ModelFile;

import org.junit.Test;
import org.robolectric.Robolectric;

/** With an NNAPI driver that computes right, or wrong (edgekit.driver). */
public class NnapiTest extends AppTestCase {
    private static final String DRIVER = System.getProperty("edgekit.driver", "");

    @Test
    public void aRightDriverCanBeUsed() throws Exception {
        assumeTrue(DRIVER.equals("right"));
        TestResult result = test();
        assertEquals(result.rows.get(2).detail, "ok", result.rows.get(2).status);
        assertTrue(result.rows.get(2).delegatedNodes > 0);

        SelfTestActivity activity = Robolectric.buildActivity(SelfTestActivity.class).setup().get();
        activity.findViewById(R.id.content).findViewWithTag(DelegateKind.NNAPI).performClick();
        ModelFile model = app.models.current();
        assertEquals(DelegateKind.NNAPI, app.choice.inUse(model));
        allowCamera();
        addBackCamera();
        CameraActivity camera = startCamera().get();
        assertEquals("NNAPI", text(camera, R.id.chip_delegate));
        CameraActivityTest.classify(camera, frame(76, 85, 255));
        assertEquals("red", CameraActivityTest.best(camera).label());
        assertFalse(app.marker.crashed(DelegateKind.NNAPI, model.digest));
    }

    @Test
    public void aWrongDriverIsNeverChosen() throws Exception {
        assumeTrue(DRIVER.equals("wrong"));
        TestResult result = test();
        assertEquals("wrong", result.rows.get(2).status);
        assertTrue(result.rows.get(2).delegatedNodes > 0);
        assertEquals("ok", result.rows.get(0).status);
        assertEquals(DelegateKind.CPU, result.chosen);

        SelfTestActivity activity = Robolectric.buildActivity(SelfTestActivity.class).setup().get();
        SelfTestActivityTest.assertSees(activity, activity.getString(R.string.status_wrong));
        View card = activity.findViewById(R.id.content).findViewWithTag(DelegateKind.NNAPI);
        assertFalse(((RadioButton) card.findViewById(R.id.radio)).isEnabled());
        card.performClick();
        assertEquals(DelegateKind.CPU, app.choice.inUse(app.models.current()));
    }
}
