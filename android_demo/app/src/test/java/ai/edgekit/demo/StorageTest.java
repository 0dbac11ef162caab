package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;
import static org.robolectric.Shadows.shadowOf;

import android.app.ActivityManager;
import android.app.ApplicationExitInfo;
import android.os.Build;
import android.os.Process;
import android.util.Size;

import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.ModelFile;

import java.io.File;
import java.nio.file.Files;

import org.junit.Test;
import org.robolectric.shadows.ShadowActivityManager;
import org.robolectric.shadows.ShadowBuild;
import org.robolectric.shadows.ShadowVMRuntime;

/** What the app remembers: the result of the self-test, the user's choice, and crashes. */
public class StorageTest extends AppTestCase {
    @Test
    public void aResultIsRememberedUntilTheSystemIsUpdated() throws Exception {
        ModelFile model = app.models.current();
        assertFalse(app.choice.isTested(model));
        TestResult result = test();
        assertEquals(8, result.cameraVectors);
        assertEquals(0, result.cameraWrong);
        assertTrue(new DelegateChoice(app, app.marker).isTested(model));
        assertEquals(DelegateKind.CPU, new DelegateChoice(app, app.marker).inUse(model));
        ShadowBuild.setFingerprint(Build.FINGERPRINT + "/next");
        assertFalse(app.choice.isTested(model));
    }

    /** Its version says nothing of the runtime and the ABI in the package. */
    @Test
    public void aResultIsVoidOnceTheAppIsInstalledAgain() throws Exception {
        test();
        shadowOf(app.getPackageManager()).getInternalMutablePackageInfo(app.getPackageName()).lastUpdateTime++;
        assertFalse(app.choice.isTested(app.models.current()));
    }

    @Test
    public void theAbiIsThatOfTheProcess() {
        ShadowBuild.setSupported64BitAbis(new String[] {"arm64-v8a"});
        ShadowBuild.setSupported32BitAbis(new String[] {"armeabi-v7a", "armeabi"});
        ShadowVMRuntime.setIs64Bit(true);
        assertEquals("arm64-v8a", DeviceInfo.abi());
        ShadowVMRuntime.setIs64Bit(false);
        assertEquals("armeabi-v7a", DeviceInfo.abi());
    }

    /** Even one that only differs in its spec. */
    @Test
    public void anotherModelIsTestedAnew() throws Exception {
        test();
        assertFalse(app.choice.isTested(useModel("weird.tflite")));
    }

    @Test
    public void aDamagedReportMeansTestingAgain() throws Exception {
        test();
        ModelFile model = app.models.current();
        File report = new File(app.getFilesDir(), "reports").listFiles()[0];
        Files.write(report.toPath(), "{".getBytes("UTF-8"));
        assertFalse(new DelegateChoice(app, app.marker).isTested(model));
    }

    @Test
    public void onlyACorrectDelegateCanBePicked() throws Exception {
        test();
        ModelFile model = app.models.current();
        app.choice.pick(model, DelegateKind.CPU);
        assertEquals(DelegateKind.CPU, app.choice.byHand(model));
        app.choice.pick(model, null);
        assertNull(app.choice.byHand(model));
        try {
            app.choice.pick(model, DelegateKind.NNAPI);
            fail("NNAPI took no operator here");
        } catch (IllegalArgumentException expected) {
            assertEquals(DelegateKind.CPU, app.choice.inUse(model));
        }
    }

    @Test
    public void whatWasBeingTriedWhenTheProcessDiedIsNotTriedAgain() throws Exception {
        ModelFile model = app.models.current();
        app.marker.trying(DelegateKind.NNAPI, model.digest);
        assertFalse(app.marker.crashed(DelegateKind.NNAPI, model.digest));

        restart(); // as if the process had died there
        assertTrue(app.marker.crashed(DelegateKind.NNAPI, model.digest));
        TestResult result = test();
        assertEquals("crashed", result.rows.get(2).status);
        assertEquals(DelegateKind.CPU, result.chosen);

        restart(); // and it stays so
        assertTrue(app.marker.crashed(DelegateKind.NNAPI, model.digest));
        app.marker.forget(model.digest);
        assertEquals("fallback", test().rows.get(2).status);
    }

    @Test
    public void aDelegateThatCrashesTheCameraScreenIsTestedAgain() throws Exception {
        ModelFile model = app.models.current();
        test();
        assertTrue(app.choice.isTested(model));
        app.marker.trying(DelegateKind.CPU, model.digest);
        restart();
        assertFalse(app.choice.isTested(model));
        assertNull(test().chosen); // only the CPU worked, and it took the app down
    }

    @Test
    public void anAppThatWasClosedHasNotCrashed() throws Exception {
        int background = ActivityManager.RunningAppProcessInfo.IMPORTANCE_CACHED;
        int foreground = ActivityManager.RunningAppProcessInfo.IMPORTANCE_FOREGROUND;
        assertFalse(crashedWhen(ApplicationExitInfo.REASON_USER_REQUESTED, foreground));
        assertFalse(crashedWhen(ApplicationExitInfo.REASON_OTHER, foreground));
        assertFalse(crashedWhen(ApplicationExitInfo.REASON_LOW_MEMORY, background));
        assertTrue(crashedWhen(ApplicationExitInfo.REASON_LOW_MEMORY, foreground));
        assertTrue(crashedWhen(ApplicationExitInfo.REASON_CRASH_NATIVE, foreground));
        assertFalse(crashedWhen(ApplicationExitInfo.REASON_SIGNALED, background, Process.SIGNAL_KILL));
        assertTrue(crashedWhen(ApplicationExitInfo.REASON_SIGNALED, foreground, Process.SIGNAL_KILL));
        assertTrue(crashedWhen(ApplicationExitInfo.REASON_SIGNALED, background, Process.SIGNAL_QUIT));
    }

    private boolean crashedWhen(int reason, int importance) throws Exception {
        return crashedWhen(reason, importance, 0);
    }

    private boolean crashedWhen(int reason, int importance, int status) throws Exception {
        shadowOf(app.getSystemService(ActivityManager.class)).addApplicationExitInfo(
                ShadowActivityManager.ApplicationExitInfoBuilder.newBuilder()
                        .setProcessName(app.getPackageName()).setReason(reason).setImportance(importance)
                        .setStatus(status).build());
        ModelFile model = app.models.current();
        app.marker.trying(DelegateKind.GPU, model.digest);
        restart();
        boolean crashed = app.marker.crashed(DelegateKind.GPU, model.digest);
        app.marker.forget(model.digest);
        return crashed;
    }

    /** The camera may be denied, or in use, for as long as the user likes. */
    @Test
    public void aModelThatWaitsForItsFirstPictureIsNotBeingTried() throws Exception {
        test();
        ModelFile model = app.models.current();
        try (Engine engine = Engine.open(app)) {
            restart();
            assertFalse(app.marker.crashed(engine.kind, model.digest));
        }
    }

    @Test
    public void oldReportsAreRemoved() throws Exception {
        File folder = new File(app.getFilesDir(), "reports");
        assertTrue(folder.mkdirs());
        for (int i = 0; i < 20; i++) {
            File old = new File(folder, i + ".json");
            assertTrue(old.createNewFile() && old.setLastModified(1_000_000L * (i + 1)));
        }
        test();
        assertEquals(8, folder.list().length);
        assertTrue(app.choice.isTested(app.models.current()));
    }

    @Test
    public void framesAreNearHdAndThePreviewShowsTheSame() {
        Size[] sizes = {new Size(4000, 3000), new Size(1920, 1440), new Size(1920, 1080), new Size(1280, 720),
                new Size(640, 480)};
        assertEquals(new Size(1280, 720), StreamSizes.frame(sizes));
        assertEquals(new Size(1920, 1080), StreamSizes.preview(sizes, new Size(1280, 720)));
        assertEquals(new Size(640, 480), StreamSizes.frame(new Size[0]));
        assertEquals(new Size(352, 288), StreamSizes.preview(sizes, new Size(352, 288)));
    }

    @Test
    public void aSessionHasItsRateAndItsTimes() {
        LiveStats stats = new LiveStats(DelegateKind.CPU);
        assertNull(stats.live());
        for (int i = 0; i < 50; i++) {
            stats.offered();
            if (i % 2 == 0) {
                stats.classified(1_000_000, 4_000_000, 6_000_000, i * 20_000_000L);
            }
        }
        assertEquals(25, stats.recentRate(), 1e-9);
        assertEquals(6, stats.medianTotal(), 1e-9);
        assertNotNull(stats.live());
        assertEquals(25, stats.live().frames);
        assertEquals(25, stats.live().dropped);
        assertEquals(0.96, stats.live().seconds, 1e-9);
    }

    private void restart() {
        app.marker = new PreferencesCrashMarker(app);
        app.choice = new DelegateChoice(app, app.marker);
    }
}
