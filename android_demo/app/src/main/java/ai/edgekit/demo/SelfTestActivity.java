package ai.edgekit.demo;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.ClipData;
import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.view.LayoutInflater;
import android.view.View;
import android.view.ViewGroup;
import android.view.WindowManager;
import android.widget.LinearLayout;
import android.widget.RadioButton;
import android.widget.TextView;
import android.widget.Toast;

import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.ModelFileException;
import ai.edgekit.demo.runtime.Report;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** What the self-test found about every delegate, which one is used and why; and the sustained run. */
public final class SelfTestActivity extends Activity implements SelfTestTask.Listener, SustainedRun.Listener {
    static final int SUSTAINED_SECONDS = 600;
    private static final String EXTRA_FIRST = "first";

    private DemoApplication app;
    private Page page;
    private MessageScreen message;
    private ModelFile model;
    private SustainedRun sustained;
    private TextView progress;
    private boolean first;
    private boolean testing;

    /** Tests a new model before it is used, and ends with RESULT_OK when that is done. */
    static Intent first(Context context) {
        return new Intent(context, SelfTestActivity.class).putExtra(EXTRA_FIRST, true);
    }

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        app = (DemoApplication) getApplication();
        first = getIntent().getBooleanExtra(EXTRA_FIRST, false);
        page = new Page(this, getText(R.string.self_test_title));
        message = new MessageScreen(this);
        try {
            model = app.models.current();
        } catch (IOException error) {
            fail(getString(R.string.model_missing_text));
            return;
        } catch (ModelFileException error) {
            fail(error.getMessage());
            return;
        }
        if (app.choice.isTested(model) && !app.selfTest.isRunning()) {
            onTested(model, null); // perhaps just before this screen came
        } else {
            test();
        }
    }

    @Override
    protected void onStart() {
        super.onStart();
        app.selfTest.setListener(this);
        app.choice.setListener(reportChanged);
        if (testing && !app.selfTest.isRunning()) { // it ended while the screen was away
            if (app.choice.isTested(model)) {
                onTested(model, null);
            } else {
                test();
            }
        }
    }

    @Override
    protected void onStop() {
        app.selfTest.removeListener(this);
        app.choice.removeListener(reportChanged);
        if (sustained != null) {
            sustained.stop(); // in the background the system slows the app down: that would not be measured fairly
        }
        super.onStop();
    }

    @Override
    public void onTesting(DelegateKind kind) {
        showTesting(getString(R.string.self_test_running, getString(DelegateText.name(kind))));
    }

    @Override
    public void onTested(ModelFile tested, String error) {
        if (model == null) {
            return;
        }
        if (tested != model && !app.choice.isTested(model)) {
            test(); // another screen's test was running
            return;
        }
        testing = false;
        if (tested == model && error != null) {
            fail(error);
            return;
        }
        setResult(RESULT_OK);
        TestResult result = app.choice.result(model);
        if (first && result != null && result.chosen != null) {
            finish();
        } else {
            show();
        }
    }

    @Override
    public void onSample(Report.Sample sample) {
        if (progress != null) {
            progress.setText(getString(R.string.self_test_sustained_progress,
                    Texts.figure(sample.second / 60.0), String.valueOf(SUSTAINED_SECONDS / 60),
                    Texts.figure(sample.fps), getString(DelegateText.thermal(sample.thermal))));
        }
    }

    @Override
    public void onEnded(String error) {
        sustained = null;
        progress = null;
        getWindow().clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        if (error != null) {
            Toast.makeText(this, error, Toast.LENGTH_LONG).show();
        }
        show();
    }

    private final Runnable reportChanged = new Runnable() {
        @Override
        public void run() {
            if (model != null && !message.isShown()) {
                show(); // the camera screen, left a moment ago, has added its session
            }
        }
    };

    private void test() {
        testing = true;
        showTesting(getString(R.string.self_test_preparing));
        app.selfTest.start(model);
    }

    /** Whether no sustained run is under way, whose figures anything else would spoil; else says so. */
    private boolean isIdle() {
        if (sustained != null) {
            Toast.makeText(this, R.string.self_test_sustained_first, Toast.LENGTH_LONG).show();
        }
        return sustained == null;
    }

    private void showTesting(String what) {
        if (first) {
            message.working(getText(R.string.self_test_first_title),
                    getText(R.string.self_test_first_text) + "\n\n" + what);
        } else {
            message.working(what, "");
        }
    }

    private void fail(String why) {
        message.problem(R.drawable.ic_warning, getText(R.string.self_test_failed_title), why);
        message.first(R.string.back, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                finish();
            }
        });
    }

    private void show() {
        if (sustained != null || testing) {
            return; // its progress stays on the screen
        }
        TestResult result = app.choice.result(model);
        if (result == null) {
            test();
            return;
        }
        message.hide();
        page.clear();
        page.text(page.content(), R.style.Body_Secondary, Texts.modelName(this, model));
        page.text(page.content(), R.style.Body, why(result)).setPadding(0, page.dp(4), 0, 0);
        page.section(R.string.self_test_delegates);
        DelegateKind byHand = app.choice.byHand(model);
        DelegateKind inUse = app.choice.inUse(model);
        showAutomatic(byHand == null && inUse != null, result.chosen != null);
        for (TestResult.Row row : result.rows) {
            showDelegate(row, byHand != null && row.kind == inUse, row.kind == inUse);
        }
        showCamera(result);
        showLive(result.live);
        showSustained(result.sustained, inUse != null);
        showActions();
    }

    private String why(TestResult result) {
        DelegateKind inUse = app.choice.inUse(model);
        if (inUse == null) {
            return getString(R.string.self_test_none);
        }
        String name = getString(DelegateText.name(inUse));
        if (app.choice.byHand(model) != null && inUse != result.chosen) {
            return getString(R.string.self_test_by_hand, name, getString(DelegateText.name(result.chosen)));
        }
        return getString(result.correct() > 1 ? R.string.self_test_chosen : R.string.self_test_chosen_only, name);
    }

    private void showAutomatic(boolean checked, boolean possible) {
        View card = card(getText(R.string.self_test_automatic), "", checked, possible);
        TextView status = card.findViewById(R.id.status);
        status.setText(R.string.self_test_automatic_text);
        card.setContentDescription(describe(getText(R.string.self_test_automatic),
                getText(R.string.self_test_automatic_text), checked));
        card.setOnClickListener(picker(null));
        card.findViewById(R.id.detail).setVisibility(View.GONE);
    }

    private void showDelegate(final TestResult.Row row, boolean checked, boolean inUse) {
        final String name = getString(DelegateText.name(row.kind));
        boolean itsOwnTime = row.isCorrect() || row.status.equals("wrong"); // else the CPU's, or none
        String median = !itsOwnTime || Double.isNaN(row.medianMs) ? getString(R.string.self_test_no_time)
                : getString(R.string.self_test_median, Texts.figure(row.medianMs));
        View card = card(inUse ? name + " · " + getString(R.string.delegate_in_use) : name, median, checked,
                row.isCorrect());
        TextView status = card.findViewById(R.id.status);
        status.setText(DelegateText.status(row.status));
        status.setTextColor(getColor(DelegateText.colour(row.status)));
        status.setCompoundDrawablesRelativeWithIntrinsicBounds(DelegateText.icon(row.status), 0, 0, 0);
        status.setCompoundDrawableTintList(getColorStateList(DelegateText.colour(row.status)));
        boolean told = row.status.equals("fallback") || row.status.equals("crashed"); // the status says it all
        StringBuilder detail = new StringBuilder(told ? "" : row.detail);
        if (row.totalNodes >= 0) {
            detail.append(detail.length() == 0 ? "" : "\n")
                    .append(getString(R.string.self_test_nodes, row.delegatedNodes, row.totalNodes));
        }
        if (row.kind == DelegateKind.NNAPI) {
            detail.append(detail.length() == 0 ? "" : "\n").append(getString(R.string.self_test_deprecated));
        }
        TextView details = card.findViewById(R.id.detail);
        details.setText(detail);
        details.setVisibility(detail.length() == 0 ? View.GONE : View.VISIBLE);
        card.setContentDescription(describe(name,
                getText(DelegateText.status(row.status)) + ", " + median + ", " + detail, inUse));
        card.setOnClickListener(row.isCorrect() ? picker(row.kind) : new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                Toast.makeText(SelfTestActivity.this, getString(R.string.delegate_refused, name),
                        Toast.LENGTH_LONG).show();
            }
        });
        card.setTag(row.kind);
    }

    private View card(CharSequence name, CharSequence median, boolean checked, boolean possible) {
        View card = LayoutInflater.from(this).inflate(R.layout.delegate_card, page.content(), false);
        ((TextView) card.findViewById(R.id.name)).setText(name);
        ((TextView) card.findViewById(R.id.median)).setText(median);
        RadioButton radio = card.findViewById(R.id.radio);
        radio.setChecked(checked);
        radio.setEnabled(possible);
        page.content().addView(card);
        return card;
    }

    private String describe(CharSequence name, CharSequence what, boolean inUse) {
        return name + ", " + (inUse ? getText(R.string.delegate_in_use) + ", " : "") + what;
    }

    private View.OnClickListener picker(final DelegateKind kind) {
        return new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                if (isIdle()) {
                    app.choice.pick(model, kind);
                    show();
                }
            }
        };
    }

    private void showCamera(TestResult result) {
        page.section(R.string.self_test_camera);
        boolean right = result.cameraWrong == 0;
        TextView text = page.text(page.card(), R.style.Body, result.cameraVectors == 0
                ? getString(R.string.self_test_camera_none)
                : right ? getString(R.string.self_test_camera_right, result.cameraVectors)
                : getString(R.string.self_test_camera_wrong, result.cameraWrong, result.cameraVectors));
        if (result.cameraVectors > 0) {
            text.setCompoundDrawablesRelativeWithIntrinsicBounds(
                    right ? R.drawable.ic_good : R.drawable.ic_bad, 0, 0, 0);
            text.setCompoundDrawablePadding(page.dp(8));
            text.setCompoundDrawableTintList(getColorStateList(right ? R.color.good : R.color.bad));
        }
    }

    private void showLive(JSONObject live) {
        page.section(R.string.self_test_live);
        LinearLayout card = page.card();
        if (live == null) {
            page.text(card, R.style.Body_Secondary, getText(R.string.self_test_live_none));
            return;
        }
        try {
            page.text(card, R.style.Body, getString(R.string.self_test_live_rate,
                    Texts.figure(live.getDouble("fps")),
                    getString(DelegateText.name(TestResult.kind(live.getString("delegate")))),
                    live.getInt("frames"), live.getInt("dropped"), Texts.figure(live.getDouble("seconds"))));
            page.line(card, "", getText(R.string.self_test_median_p95));
            page.line(card, getText(R.string.self_test_preprocess), times(live.getJSONObject("preprocess_ms")));
            page.line(card, getText(R.string.self_test_inference), times(live.getJSONObject("inference_ms")));
            page.line(card, getText(R.string.self_test_total), times(live.getJSONObject("total_ms")));
        } catch (JSONException error) {
            throw new IllegalStateException(error); // the app wrote it
        }
    }

    private String times(JSONObject times) throws JSONException {
        return getString(R.string.self_test_times,
                Texts.figure(times.getDouble("p50")), Texts.figure(times.getDouble("p95")));
    }

    private void showSustained(JSONObject found, boolean possible) {
        page.section(R.string.self_test_sustained);
        final LinearLayout card = page.card();
        page.text(card, R.style.Body_Secondary, getText(R.string.self_test_sustained_text));
        if (found != null) {
            showSamples(card, found);
        }
        if (possible) {
            page.button(card, R.style.TonalButton, getText(R.string.self_test_sustained_start),
                    new View.OnClickListener() {
                        @Override
                        public void onClick(View view) {
                            startSustained(card);
                        }
                    });
        }
    }

    private void showSamples(LinearLayout card, JSONObject found) {
        try {
            JSONArray samples = found.getJSONArray("samples");
            double[] rates = new double[samples.length()];
            for (int i = 0; i < rates.length; i++) {
                rates[i] = samples.getJSONObject(i).getDouble("fps");
            }
            String heat = samples.getJSONObject(rates.length - 1).getString("thermal");
            LinearLayout.LayoutParams params = new LinearLayout.LayoutParams(
                    ViewGroup.LayoutParams.MATCH_PARENT, page.dp(72));
            params.topMargin = page.dp(12);
            params.bottomMargin = page.dp(8);
            card.addView(new RateChart(this, rates), params);
            page.text(card, R.style.Body, getString(R.string.self_test_sustained_result, Texts.figure(rates[0]),
                    Texts.figure(rates[rates.length - 1]), getString(DelegateText.thermal(heat))));
        } catch (JSONException error) {
            throw new IllegalStateException(error); // the app wrote it
        }
    }

    private void startSustained(LinearLayout card) {
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        card.removeAllViews();
        progress = page.text(card, R.style.Body, getText(R.string.loading));
        progress.setAccessibilityLiveRegion(View.ACCESSIBILITY_LIVE_REGION_NONE);
        page.button(card, R.style.TonalButton, getText(R.string.self_test_sustained_stop), new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                if (sustained != null) {
                    sustained.stop();
                }
            }
        });
        sustained = new SustainedRun(app, model, SUSTAINED_SECONDS, this);
        sustained.start();
    }

    private void showActions() {
        LinearLayout actions = new LinearLayout(this);
        page.content().addView(actions);
        page.button(actions, R.style.FilledButton, getText(R.string.self_test_share), new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                share();
            }
        });
        View again = page.button(actions, R.style.TonalButton, getText(R.string.self_test_again),
                new View.OnClickListener() {
                    @Override
                    public void onClick(View view) {
                        if (isIdle()) {
                            app.marker.forget(model.digest); // asked for by hand, what crashed is tried again too
                            test();
                        }
                    }
                });
        ((LinearLayout.LayoutParams) again.getLayoutParams()).setMarginStart(page.dp(12));
        if (app.marker.anyCrashed(model.digest)) {
            page.text(page.content(), R.style.Caption, getText(R.string.self_test_retry_crashed));
        }
    }

    private void share() {
        try (OutputStream out = new FileOutputStream(ReportProvider.file(this))) {
            out.write(app.choice.report(model).toString(1).getBytes(StandardCharsets.UTF_8));
        } catch (IOException | JSONException error) {
            Toast.makeText(this, R.string.self_test_share_failed, Toast.LENGTH_LONG).show();
            return;
        }
        Intent send = new Intent(Intent.ACTION_SEND)
                .setType("application/json")
                .putExtra(Intent.EXTRA_STREAM, ReportProvider.uri(this))
                .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
        send.setClipData(ClipData.newRawUri("", ReportProvider.uri(this))); // takes the permission along
        try {
            startActivity(Intent.createChooser(send, getText(R.string.self_test_share)));
        } catch (ActivityNotFoundException error) {
            Toast.makeText(this, R.string.self_test_share_failed, Toast.LENGTH_LONG).show();
        }
    }
}
