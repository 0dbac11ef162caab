package ai.edgekit.demo;

import android.app.Activity;
import android.app.AlertDialog;
import android.content.DialogInterface;
import android.content.res.AssetManager;
import android.os.Bundle;
import android.view.View;
import android.widget.ArrayAdapter;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.TextView;

import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.ModelFileException;
import ai.edgekit.demo.runtime.Spec;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;


/** What the model is: its measured parity, how it is fed, its labels, where it comes from, and licences. */
public final class AboutActivity extends Activity {
    private static final String LICENCES = "licenses";
    private static final int SHOWN_LABELS = 12;
    private static final int MOST_LINES = 50;

    private Page page;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        page = new Page(this, getText(R.string.about_title));
        ModelStore models = ((DemoApplication) getApplication()).models;
        try {
            ModelFile model = models.current();
            showVerdict(model);
            showModel(model, models.isOpened());
            showInput(model.spec);
            showOutput(model.spec);
            showLabels(Texts.labels(model.spec));
            showProvenance(model.spec.provenance);
        } catch (IOException error) {
            page.text(page.card(), R.style.Body, getText(R.string.model_missing_text));
        } catch (ModelFileException error) {
            page.text(page.card(), R.style.Body, error.getMessage());
        }
        showApp();
    }

    private void showVerdict(ModelFile model) {
        page.section(R.string.about_verdict);
        LinearLayout card = page.card();
        VerdictText verdict = VerdictText.of(model.verdict());
        TextView title = page.text(card, R.style.Subtitle, getText(verdict.title));
        title.setCompoundDrawablesRelativeWithIntrinsicBounds(verdict.icon, 0, 0, 0);
        title.setCompoundDrawablePadding(page.dp(8));
        title.setCompoundDrawableTintList(getColorStateList(verdict.colour));
        page.text(card, R.style.Body_Secondary, getText(verdict.text));
        Spec.Verdict found = model.spec.verdict;
        if (found != null) {
            page.line(card, getText(R.string.about_images), String.valueOf(found.images));
            for (Map.Entry<String, Double> figure : found.figures.entrySet()) {
                page.line(card, Texts.name(figure.getKey()), Texts.number(figure.getValue()));
            }
            for (Map.Entry<String, Double> limit : found.gate.entrySet()) {
                page.line(card, getString(R.string.about_limit, Texts.name(limit.getKey())),
                        Texts.number(limit.getValue()));
            }
        }
    }

    private void showModel(ModelFile model, boolean opened) {
        page.section(R.string.about_model);
        LinearLayout card = page.card();
        page.pair(card, getText(R.string.about_name), orUnknown(Texts.shown(model.spec.provenance.source)));
        page.pair(card, getText(R.string.about_origin),
                getText(opened ? R.string.about_origin_opened : R.string.about_origin_packaged));
        page.pair(card, getText(R.string.about_scheme), model.spec.scheme);
        page.pair(card, getText(R.string.about_digest), model.digest);
        page.pair(card, getText(R.string.about_golden), String.valueOf(model.spec.golden.size()));
    }

    private void showInput(Spec spec) {
        page.section(R.string.about_input);
        LinearLayout card = page.card();
        Spec.Input input = spec.input;
        String shape = getString(R.string.about_input_value,
                input.width, input.height, spec.preprocess.channelOrder, input.dtype);
        page.pair(card, getText(R.string.about_input), input.quantization == null ? shape
                : shape + "\n" + quantization(input.quantization));
        Spec.Crop crop = spec.preprocess.crop;
        page.pair(card, getText(R.string.about_crop),
                crop.fraction < 1 ? crop.mode + " × " + Texts.number(crop.fraction) : crop.mode);
        page.pair(card, getText(R.string.about_resize), spec.preprocess.resize);
        page.pair(card, getText(R.string.about_mean), Texts.numbers(spec.preprocess.mean));
        page.pair(card, getText(R.string.about_std), Texts.numbers(spec.preprocess.std));
    }

    private void showOutput(Spec spec) {
        page.section(R.string.about_output);
        LinearLayout card = page.card();
        Spec.Output output = spec.output;
        String kind = output.activation + ", " + output.dtype;
        page.pair(card, getText(R.string.about_output), output.quantization == null ? kind
                : kind + "\n" + quantization(output.quantization));
        page.pair(card, getText(R.string.about_temperature), Texts.number(output.calibration.temperature));
        Double threshold = output.calibration.threshold;
        page.pair(card, getText(R.string.about_threshold), threshold == null
                ? getText(R.string.about_no_threshold) : ScoreRow.percent(threshold.floatValue()));
    }

    private void showLabels(final List<String> labels) {
        page.section(R.string.about_labels);
        LinearLayout card = page.card();
        page.text(card, R.style.Subtitle, getString(R.string.about_labels_count, labels.size()));
        StringBuilder some = new StringBuilder();
        for (String label : labels.subList(0, Math.min(SHOWN_LABELS, labels.size()))) {
            some.append(some.length() == 0 ? "" : " · ").append(label);
        }
        page.text(card, R.style.Body_Secondary, labels.size() > SHOWN_LABELS ? some + " …" : some);
        if (labels.size() > SHOWN_LABELS) {
            page.button(card, R.style.TonalButton, getText(R.string.about_labels_all), new View.OnClickListener() {
                @Override
                public void onClick(View view) {
                    new AlertDialog.Builder(AboutActivity.this)
                            .setAdapter(new ArrayAdapter<>(AboutActivity.this,
                                    android.R.layout.simple_list_item_1, labels), null)
                            .setPositiveButton(R.string.close, null)
                            .show();
                }
            });
        }
    }

    private void showProvenance(Spec.Provenance provenance) {
        page.section(R.string.about_provenance);
        LinearLayout card = page.card();
        List<String> tools = new ArrayList<>();
        for (Map.Entry<String, String> tool : provenance.tools.entrySet()) {
            tools.add(tool.getKey() + " " + tool.getValue());
        }
        page.pair(card, getText(R.string.about_steps), orUnknown(lines(provenance.steps)));
        page.pair(card, getText(R.string.about_tools), orUnknown(lines(tools)));
    }

    private static String lines(List<String> texts) {
        StringBuilder lines = new StringBuilder();
        for (String text : texts.subList(0, Math.min(MOST_LINES, texts.size()))) {
            lines.append(lines.length() == 0 ? "" : "\n").append(Texts.shown(text));
        }
        return texts.size() > MOST_LINES ? lines + "\n…" : lines.toString();
    }

    private void showApp() {
        page.section(R.string.about_app);
        LinearLayout card = page.card();
        page.pair(card, getText(R.string.about_version), DeviceInfo.appVersion(this));
        page.pair(card, getText(R.string.about_runtime), DeviceInfo.runtime());
        page.button(card, R.style.TonalButton, getText(R.string.about_licences), new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                chooseLicence();
            }
        });
    }

    private void chooseLicence() {
        try {
            final String[] names = getAssets().list(LICENCES);
            new AlertDialog.Builder(this)
                    .setTitle(R.string.about_licences_text)
                    .setItems(names, new DialogInterface.OnClickListener() {
                        @Override
                        public void onClick(DialogInterface dialog, int which) {
                            showLicence(names[which]);
                        }
                    })
                    .setPositiveButton(R.string.close, null)
                    .show();
        } catch (IOException error) {
            throw new IllegalStateException(error); // the app's own assets
        }
    }

    private void showLicence(String name) {
        TextView text = new TextView(this, null, 0, R.style.Body_Small);
        text.setPadding(page.dp(24), page.dp(8), page.dp(24), page.dp(8));
        text.setText(read(LICENCES + "/" + name));
        ScrollView scroll = new ScrollView(this);
        scroll.addView(text);
        new AlertDialog.Builder(this).setTitle(name).setView(scroll).setPositiveButton(R.string.close, null).show();
    }

    private String read(String asset) {
        try (InputStream in = getAssets().open(asset, AssetManager.ACCESS_STREAMING)) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            byte[] buffer = new byte[1 << 14];
            for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                out.write(buffer, 0, count);
            }
            return out.toString("UTF-8");
        } catch (IOException error) {
            throw new IllegalStateException(error); // the app's own assets
        }
    }

    private String quantization(Spec.Quantization quantization) {
        return getString(R.string.about_quantization, Texts.number(quantization.scale), quantization.zeroPoint);
    }

    private CharSequence orUnknown(String text) {
        return text.isEmpty() ? getText(R.string.about_unknown) : text;
    }
}
