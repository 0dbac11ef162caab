package ai.edgekit.demo;

import android.app.Activity;
import android.os.Build;
import android.os.Bundle;
import android.view.WindowManager;

import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.ModelFileException;
import ai.edgekit.demo.runtime.Report;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

import org.json.JSONException;

/**
 * Tests the phone for `edgekit device run`, which starts this by adb with a token (`run`) and, if wanted, the seconds
 * of a sustained run (`sustained`). Leaves report-TOKEN.json, or report-TOKEN.error with one line, in the app's own
 * folder of the external storage, complete or not at all.
 */
public final class ReportActivity extends Activity implements SelfTestTask.Listener, SustainedRun.Listener {
    private static final int MOST_SECONDS = 3600;

    private DemoApplication app;
    private MessageScreen message;
    private String token;
    private int seconds;
    private ModelFile model;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        app = (DemoApplication) getApplication();
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        if (Build.VERSION.SDK_INT >= 27) {
            setShowWhenLocked(true);
            setTurnScreenOn(true);
        }
        setContentView(R.layout.activity_message);
        message = new MessageScreen(this);
        message.working(getText(R.string.report_title), getText(R.string.report_running));
        token = getIntent().getStringExtra("run");
        seconds = Math.max(0, Math.min(MOST_SECONDS, getIntent().getIntExtra("sustained", 0)));
        if (token == null || !token.matches("[A-Za-z0-9_-]{1,64}")) {
            finish();
            return;
        }
        try {
            model = app.models.packaged(); // the report is about what was installed
        } catch (IOException error) {
            fail(getString(R.string.model_missing_text));
            return;
        } catch (ModelFileException error) {
            fail(error.getMessage());
            return;
        }
        app.selfTest.setListener(this);
        app.selfTest.start(model);
    }

    @Override
    protected void onDestroy() {
        app.selfTest.removeListener(this);
        super.onDestroy();
    }

    @Override
    public void onTesting(DelegateKind kind) {
        message.working(getText(R.string.report_title), getText(R.string.report_running) + "\n\n"
                + getString(R.string.self_test_running, getString(DelegateText.name(kind))));
    }

    @Override
    public void onTested(ModelFile tested, String error) {
        if (tested != model) {
            app.selfTest.start(model); // another screen's test was running
        } else if (error != null) {
            fail(error);
        } else if (seconds > 0 && app.choice.inUse(model) != null) {
            new SustainedRun(app, model, seconds, this).start();
        } else {
            finishWithReport();
        }
    }

    @Override
    public void onSample(Report.Sample sample) {
        message.working(getText(R.string.report_title), getText(R.string.report_running) + "\n\n"
                + getString(R.string.report_sustained, sample.second, seconds));
    }

    @Override
    public void onEnded(String error) {
        if (error != null) {
            fail(error);
        } else {
            finishWithReport();
        }
    }

    private void finishWithReport() {
        try {
            write("json", app.choice.report(model).toString(1));
            finish();
        } catch (IOException | JSONException error) {
            fail(error.getMessage());
        }
    }

    private void fail(String why) {
        try {
            write("error", String.valueOf(why).replace('\n', ' ') + "\n");
        } catch (IOException error) {
            // There is no storage to say it on; the caller's time runs out.
        }
        finish();
    }

    private void write(String ending, String text) throws IOException {
        File folder = getExternalFilesDir(null);
        if (folder == null) {
            throw new IOException("The external storage is not mounted.");
        }
        File part = new File(folder, "report-" + token + ".part");
        try (OutputStream out = new FileOutputStream(part)) {
            out.write(text.getBytes(StandardCharsets.UTF_8));
        }
        if (!part.renameTo(new File(folder, "report-" + token + "." + ending))) {
            throw new IOException("The report cannot be renamed.");
        }
    }
}
