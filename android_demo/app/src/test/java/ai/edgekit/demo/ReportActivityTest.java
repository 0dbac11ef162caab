package ai.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.content.ComponentName;
import android.content.Intent;
import android.content.pm.ActivityInfo;
import android.content.pm.PackageManager;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;

import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Test;
import org.robolectric.Robolectric;

/** The report that `edgekit device run` fetches. */
public class ReportActivityTest extends AppTestCase {
    @Test
    public void onlyTheShellMayStartIt() throws Exception {
        ActivityInfo info = app.getPackageManager().getActivityInfo(
                new ComponentName(app, ReportActivity.class), PackageManager.MATCH_ALL);
        assertTrue(info.exported);
        assertEquals("android.permission.DUMP", info.permission);
    }

    @Test
    public void theReportIsWrittenWithASustainedRun() throws Exception {
        JSONObject report = run(new Intent().putExtra("run", "token-1").putExtra("sustained", 1));
        assertEquals(1, report.getInt("edgekit_device_report"));
        assertEquals("android", report.getString("platform"));
        assertEquals("TensorFlow Lite 2.16.1", report.getString("runtime"));
        assertEquals(app.models.current().digest, report.getJSONObject("model").getString("sha256"));
        assertEquals("pass", report.getString("verdict"));
        assertEquals("cpu", report.getString("chosen"));
        JSONArray runs = report.getJSONArray("runs");
        assertEquals("ok", runs.getJSONObject(0).getString("status"));
        assertEquals(app.models.current().spec.golden.size(),
                runs.getJSONObject(0).getJSONArray("answers").length());
        assertEquals("fallback", runs.getJSONObject(2).getString("status"));
        assertEquals(1, report.getJSONObject("sustained").getJSONArray("samples").length());
        Files.write(new File(System.getProperty("edgekit.report")).toPath(), // what edgekit itself says of it
                report.toString(1).getBytes(StandardCharsets.UTF_8));
    }

    @Test
    public void itIsAboutTheModelThatWasInstalled() throws Exception {
        String packaged = app.models.current().digest;
        File opened = new File(app.getFilesDir(), "opened.tflite");
        Files.write(opened.toPath(), bytes(model("damaged.tflite")));
        app.models = new ModelStore(app);
        JSONObject report = run(new Intent().putExtra("run", "token-1").putExtra("sustained", 1));
        assertEquals(packaged, report.getJSONObject("model").getString("sha256"));
        assertTrue(report.has("sustained"));
        assertTrue("what the user opened is gone", opened.exists());
    }

    @Test
    public void anErrorIsWrittenInstead() throws Exception {
        takeModelAway();
        ReportActivity activity = Robolectric.buildActivity(
                ReportActivity.class, new Intent().putExtra("run", "T")).setup().get();
        assertTrue(activity.isFinishing());
        File error = new File(app.getExternalFilesDir(null), "report-T.error");
        String line = new String(bytes(error), StandardCharsets.UTF_8);
        assertTrue(line, line.contains("no model") && line.indexOf('\n') == line.length() - 1);
    }

    @Test
    public void aTokenThatIsNoNameWritesNothing() {
        for (String token : new String[] {"../../evil", "", "a b", null}) {
            ReportActivity activity = Robolectric.buildActivity(
                    ReportActivity.class, new Intent().putExtra("run", token)).setup().get();
            assertTrue(activity.isFinishing());
        }
        assertEquals(0, app.getExternalFilesDir(null).list().length);
    }

    private JSONObject run(Intent intent) throws Exception {
        final ReportActivity activity = Robolectric.buildActivity(ReportActivity.class, intent).setup().get();
        assertFalse(activity.isFinishing());
        until(new Condition() {
            @Override
            public boolean holds() {
                return activity.isFinishing();
            }
        });
        File file = new File(app.getExternalFilesDir(null), "report-token-1.json");
        return new JSONObject(new String(bytes(file), StandardCharsets.UTF_8));
    }
}
