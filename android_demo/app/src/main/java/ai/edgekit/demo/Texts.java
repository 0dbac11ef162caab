package ai.edgekit.demo;

import android.content.Context;

import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.Spec;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Numbers and names as the screens show them. */
final class Texts {
    /** As much of a text from a model file as a screen takes without stalling; nothing real is longer. */
    private static final int MOST_CHARACTERS = 4000;

    private Texts() {}

    /** Text from a model file, safe to be shown. */
    static String shown(String text) {
        return Spec.printable(text.length() > MOST_CHARACTERS ? text.substring(0, MOST_CHARACTERS) + "…" : text);
    }

    /** What the model was made from, without the ending of a file's name. */
    static String modelName(Context context, ModelFile model) {
        String name = shown(model.spec.provenance.source)
                .replaceAll("\\.(keras|h5|hdf5|onnx|tflite|pb|zip)$", "");
        return name.isEmpty() ? context.getString(R.string.app_name) : name;
    }

    /** The labels of a model without characters that could disturb the screen. */
    static List<String> labels(Spec spec) {
        List<String> shown = new ArrayList<>(spec.labels.size());
        for (String label : spec.labels) {
            shown.add(Spec.printable(label));
        }
        return shown;
    }

    /** Milliseconds or frames a second: one digit after the point below 10, none above. */
    static String figure(double value) {
        return String.format(Locale.getDefault(), value < 9.95 ? "%.1f" : "%.0f", value);
    }

    /** A number of the spec with as many digits as it has, up to six. */
    static String number(double value) {
        String text = String.format(Locale.ROOT, "%.6g", value);
        boolean plain = text.contains(".") && !text.contains("e");
        return plain ? text.replaceAll("0+$", "").replaceAll("\\.$", "") : text;
    }

    /** A key of the spec as a name: "max_drop" becomes "Max drop". */
    static String name(String key) {
        String name = shown(key).replace('_', ' ');
        return name.isEmpty() ? name : name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1);
    }

    /** Numbers of the spec, separated by commas. */
    static String numbers(double[] values) {
        StringBuilder text = new StringBuilder();
        for (double value : values) {
            text.append(text.length() == 0 ? "" : ", ").append(number(value));
        }
        return text.toString();
    }
}
