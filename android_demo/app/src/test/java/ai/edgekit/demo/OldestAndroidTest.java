package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import ai.edgekit.demo.runtime.DelegateKind;

import org.junit.Test;
import org.robolectric.Robolectric;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** The oldest Android that the app supports. Runs in a JVM of its own, which loads a native library only once. */
@Config(sdk = 26)
@GraphicsMode(GraphicsMode.Mode.LEGACY)
public class OldestAndroidTest extends AppTestCase {
    @Test
    public void theModelIsTestedAndTheScreensOpen() throws Exception {
        TestResult result = test();
        assertEquals(DelegateKind.CPU, result.chosen);
        assertEquals("unavailable", result.rows.get(2).status); // NNAPI came with Android 8.1
        final CameraActivity camera = Robolectric.buildActivity(CameraActivity.class).setup().get();
        until(new Condition() {
            @Override
            public boolean holds() {
                return says(camera, R.string.permission_title);
            }
        });
        CameraActivityTest.classify(camera, frame(76, 85, 255));
        assertEquals("red", CameraActivityTest.best(camera).label());
        Robolectric.buildActivity(SelfTestActivity.class).setup();
        Robolectric.buildActivity(AboutActivity.class).setup();
    }

    /** Android tells only since version 11 whether an app crashed or was swiped away. */
    @Test
    public void onlyTheSecondProcessThatDiesInATryCountsAsACrash() throws Exception {
        String digest = app.models.current().digest;
        app.marker.trying(DelegateKind.GPU, digest);
        app.marker = new PreferencesCrashMarker(app);
        assertFalse(app.marker.crashed(DelegateKind.GPU, digest));
        app.marker.trying(DelegateKind.GPU, digest);
        app.marker.done(DelegateKind.GPU, digest); // it loads, and dies at its first answer
        app.marker.trying(DelegateKind.GPU, digest);
        app.marker = new PreferencesCrashMarker(app);
        assertTrue(app.marker.crashed(DelegateKind.GPU, digest));

        app.marker.forget(digest);
        app.marker.trying(DelegateKind.GPU, digest);
        app.marker = new PreferencesCrashMarker(app);
        assertFalse(app.marker.crashed(DelegateKind.GPU, digest));
    }
}
