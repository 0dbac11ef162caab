package ai.edgekit.demo;

import android.content.Context;
import android.content.SharedPreferences;
import android.os.Build;
import android.os.Handler;
import android.os.Looper;
import android.util.AtomicFile;

import ai.edgekit.demo.runtime.CrashMarker;
import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.Report;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Comparator;

import org.json.JSONException;
import org.json.JSONObject;

/**
 * Which delegate computes a model: the fastest that the last self-test found correct, or another correct one that the
 * user picked. Results are remembered by model; installing the app again or a new system makes them void.
 */
final class DelegateChoice {
    private static final int KEPT_REPORTS = 8;
    private static final String BY_HAND = "by_hand:";

    private final Context context;
    private final CrashMarker marker;
    private final SharedPreferences tested;
    private final Handler main = new Handler(Looper.getMainLooper());
    private String cachedKey;
    private TestResult cached;
    private Runnable changed;
    private ModelFile keyed;
    private String key;

    DelegateChoice(Context context, CrashMarker marker) {
        this.context = context;
        this.marker = marker;
        this.tested = context.getSharedPreferences("self_test", Context.MODE_PRIVATE);
    }

    /** Whether this app on this system tested the model, and nothing has crashed since. */
    synchronized boolean isTested(ModelFile model) {
        return result(model) != null;
    }

    /** The last self-test of the model, or null when it has to be tested. */
    synchronized TestResult result(ModelFile model) {
        if (!circumstances().equals(tested.getString(key(model), ""))) {
            return null;
        }
        if (!key(model).equals(cachedKey)) {
            try {
                cached = new TestResult(report(model));
                cachedKey = key(model);
            } catch (IOException | JSONException error) {
                return null; // the file was removed or damaged; the test is run again
            }
        }
        for (TestResult.Row row : cached.rows) {
            if (row.isCorrect() && marker.crashed(row.kind, model.digest)) {
                return null; // it passed, and took the app down later
            }
        }
        return cached;
    }

    /** Remembers a self-test's report. */
    synchronized void remember(ModelFile model, Report report) throws IOException {
        write(model, report.toJson());
        tested.edit().putString(key(model), circumstances()).apply();
        cachedKey = null;
        removeOldReports();
    }

    /** The delegate to use, or null when none is correct. */
    synchronized DelegateKind inUse(ModelFile model) {
        TestResult result = result(model);
        if (result == null) {
            return null;
        }
        DelegateKind picked = byHand(model);
        return picked != null && result.isCorrect(picked) ? picked : result.chosen;
    }

    /** What the user picked, or null for the fastest. */
    synchronized DelegateKind byHand(ModelFile model) {
        try {
            String id = tested.getString(BY_HAND + key(model), null);
            return id == null ? null : TestResult.kind(id);
        } catch (JSONException error) {
            return null;
        }
    }

    /**
     * Uses a delegate from now on, or the fastest for null.
     *
     * @throws IllegalArgumentException it did not pass the self-test
     */
    synchronized void pick(ModelFile model, DelegateKind kind) {
        TestResult result = result(model);
        if (kind != null && (result == null || !result.isCorrect(kind))) {
            throw new IllegalArgumentException(kind + " did not pass the self-test");
        }
        SharedPreferences.Editor editor = tested.edit();
        if (kind == null) {
            editor.remove(BY_HAND + key(model));
        } else {
            editor.putString(BY_HAND + key(model), kind.id);
        }
        editor.apply();
    }

    /** The last report of the model. */
    synchronized JSONObject report(ModelFile model) throws IOException, JSONException {
        return new JSONObject(new String(file(model).readFully(), StandardCharsets.UTF_8));
    }

    /** Runs on the main thread whenever something was added to a report. */
    synchronized void setListener(Runnable listener) {
        changed = listener;
    }

    synchronized void removeListener(Runnable old) {
        if (changed == old) {
            changed = null;
        }
    }

    /** Adds a camera session, if there was one, to the model's report. */
    synchronized void keep(ModelFile model, Report.Live live) {
        try {
            if (live != null) {
                put(model, "live", Report.live(live));
            }
        } catch (JSONException error) {
            throw new IllegalStateException(error); // numbers that are none are written as null
        }
    }

    /** Adds a sustained run to the model's report. */
    synchronized void keep(ModelFile model, Report.Sustained sustained) {
        try {
            put(model, "sustained", Report.sustained(sustained));
        } catch (JSONException error) {
            throw new IllegalStateException(error); // as above
        }
    }

    private void put(ModelFile model, String part, JSONObject value) {
        try {
            write(model, report(model).put(part, value).toString(1));
        } catch (IOException | JSONException error) {
            tested.edit().remove(key(model)).apply(); // no report to add it to: the test is run again
        }
        cachedKey = null;
        if (changed != null) {
            main.post(changed);
        }
    }

    /** SHA-256 of the whole file: the model's own digest leaves the spec out, and with it golden answers and labels. */
    private String key(ModelFile model) {
        if (model != keyed) {
            try {
                ByteBuffer file = model.data.duplicate();
                ((Buffer) file).clear();
                MessageDigest digest = MessageDigest.getInstance("SHA-256");
                digest.update(file);
                key = String.format("%064x", new BigInteger(1, digest.digest()));
                keyed = model;
            } catch (NoSuchAlgorithmException error) {
                throw new IllegalStateException(error); // every Android has it
            }
        }
        return key;
    }

    private String circumstances() {
        // The version alone stays the same where only the runtime or the ABI inside the package is another.
        return DeviceInfo.appVersionCode(context) + " " + DeviceInfo.installed(context) + " " + Build.FINGERPRINT;
    }

    private File folder() {
        return new File(context.getFilesDir(), "reports");
    }

    private AtomicFile file(ModelFile model) {
        return new AtomicFile(new File(folder(), key(model) + ".json"));
    }

    private void write(ModelFile model, String json) throws IOException {
        folder().mkdirs();
        AtomicFile file = file(model);
        FileOutputStream out = file.startWrite();
        try {
            out.write(json.getBytes(StandardCharsets.UTF_8));
            file.finishWrite(out);
        } catch (IOException error) {
            file.failWrite(out);
            throw error;
        }
    }

    private void removeOldReports() {
        File[] files = folder().listFiles();
        if (files == null || files.length <= KEPT_REPORTS) {
            return;
        }
        Arrays.sort(files, new Comparator<File>() {
            @Override
            public int compare(File one, File other) {
                return Long.compare(other.lastModified(), one.lastModified());
            }
        });
        for (File old : Arrays.asList(files).subList(KEPT_REPORTS, files.length)) {
            old.delete();
        }
    }
}
