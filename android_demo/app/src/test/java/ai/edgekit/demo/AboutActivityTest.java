package ai.edgekit.demo;

import org.junit.Test;
import org.robolectric.Robolectric;

/** The page about the model. */
public class AboutActivityTest extends AppTestCase {
    @Test
    public void aPassedModelShowsWhatWasMeasured() throws Exception {
        AboutActivity activity = Robolectric.buildActivity(AboutActivity.class).setup().get();
        SelfTestActivityTest.assertSees(activity, activity.getString(R.string.verdict_pass));
        SelfTestActivityTest.assertSees(activity, "300");
        SelfTestActivityTest.assertSees(activity, "Max drop, limit");
        SelfTestActivityTest.assertSees(activity, "8 × 8 pixels, RGB, uint8");
        SelfTestActivityTest.assertSees(activity, "red · green · blue");
        SelfTestActivityTest.assertSees(activity, "edgekit train colours");
        SelfTestActivityTest.assertSees(activity, "TensorFlow Lite 2.16.1");
    }

    @Test
    public void aModelThatNobodyValidatedSaysSo() throws Exception {
        useModel("weird.tflite");
        AboutActivity activity = Robolectric.buildActivity(AboutActivity.class).setup().get();
        SelfTestActivityTest.assertSees(activity, activity.getString(R.string.verdict_none));
        SelfTestActivityTest.assertSees(activity, "قطة صغيرة");
    }
}
