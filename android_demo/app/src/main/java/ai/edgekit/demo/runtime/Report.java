package ai.edgekit.demo.runtime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The device report, which `edgekit validate --device-report` reads. Set what is known, then call `toJson`. */
public final class Report {
    private static final int FORMAT = 1;
    private static final int MAX_TEXT = 500;

    /** UTC, as 2026-11-26T12:00:00Z. */
    public String created = "";

    public String deviceName = "";
    public String system = "";
    public String abi = "";
    public String soc = "";
    public String appId = "";
    public String appVersion = "";
    public String runtime = "";
    public String modelName = "";
    public ModelFile model;
    public SelfTest.Result selfTest;

    /** How many camera vectors there are, and the numbers of those that failed. */
    public int cameraVectors;
    public List<Integer> cameraWrong = Collections.emptyList();

    /** What the camera screen measured, or null. */
    public Live live;

    /** A sustained run, or null. */
    public Sustained sustained;

    /** Frames of the camera screen: how long each step took, in milliseconds. */
    public static final class Live {
        public DelegateKind delegate;
        public double seconds;
        public int frames;
        public int dropped;
        public Percentiles preprocess;
        public Percentiles inference;
        public Percentiles total;
    }

    /** Speed over time. */
    public static final class Sustained {
        public DelegateKind delegate;
        public double seconds;
        public List<Sample> samples;
    }

    /** Speed and thermal status (`none` to `shutdown`, `unknown` before Android 10) in some seconds of a run. */
    public static final class Sample {
        public final int second;
        public final double fps;
        public final double inferenceMs;
        public final String thermal;

        public Sample(int second, double fps, double inferenceMs, String thermal) {
            this.second = second;
            this.fps = fps;
            this.inferenceMs = inferenceMs;
            this.thermal = thermal;
        }
    }

    /** The report as a JSON document. */
    public String toJson() {
        try {
            return document().toString(1);
        } catch (JSONException error) {
            throw new IllegalStateException(error); // only for numbers that are none, which `number` keeps out
        }
    }

    private JSONObject document() throws JSONException {
        JSONArray runs = new JSONArray();
        for (DelegateRun run : selfTest.runs) {
            runs.put(run(run));
        }
        return new JSONObject()
                .put("edgekit_device_report", FORMAT)
                .put("created", created)
                .put("platform", "android")
                .put("device", new JSONObject()
                        .put("name", text(deviceName)).put("system", text(system))
                        .put("abi", text(abi)).put("soc", text(soc)))
                .put("app", new JSONObject().put("id", text(appId)).put("version", text(appVersion)))
                .put("runtime", text(runtime))
                .put("model", new JSONObject()
                        .put("name", text(modelName)).put("sha256", model.digest).put("scheme", model.spec.scheme))
                .put("verdict", model.verdict())
                .put("camera", new JSONObject()
                        .put("vectors", cameraVectors).put("wrong", new JSONArray(cameraWrong)))
                .put("runs", runs)
                .put("chosen", selfTest.chosen == null ? JSONObject.NULL : selfTest.chosen.id)
                .put("live", live == null ? JSONObject.NULL : live(live))
                .put("sustained", sustained == null ? JSONObject.NULL : sustained(sustained));
    }

    private static JSONObject run(DelegateRun run) throws JSONException {
        JSONArray answers = new JSONArray();
        for (DelegateRun.Answer answer : run.answers) {
            answers.put(new JSONObject()
                    .put("input_sha256", answer.inputSha256).put("scores", encode(answer.scores)));
        }
        Object nodes = JSONObject.NULL;
        if (run.totalNodes >= 0) {
            nodes = new JSONObject().put("delegated", run.delegatedNodes).put("total", run.totalNodes);
        }
        Object inference = JSONObject.NULL;
        if (run.runs > 0) {
            inference = new JSONObject()
                    .put("p50", number(run.p50Ms)).put("p95", number(run.p95Ms)).put("runs", run.runs);
        }
        return new JSONObject()
                .put("delegate", run.delegate.id)
                .put("threads", run.threads)
                .put("status", run.status.id)
                .put("detail", text(run.detail))
                .put("nodes", nodes)
                .put("load_ms", number(run.loadMs))
                .put("inference_ms", inference)
                .put("answers", answers);
    }

    /** What the report says of a camera session. */
    public static JSONObject live(Live live) throws JSONException {
        return new JSONObject()
                .put("delegate", live.delegate.id)
                .put("seconds", number(live.seconds))
                .put("frames", live.frames)
                .put("dropped", live.dropped)
                .put("fps", number(live.frames / live.seconds))
                .put("preprocess_ms", percentiles(live.preprocess))
                .put("inference_ms", percentiles(live.inference))
                .put("total_ms", percentiles(live.total));
    }

    /** What the report says of a sustained run. */
    public static JSONObject sustained(Sustained sustained) throws JSONException {
        JSONArray samples = new JSONArray();
        for (Sample sample : sustained.samples) {
            samples.put(new JSONObject()
                    .put("second", sample.second)
                    .put("fps", number(sample.fps))
                    .put("inference_ms", number(sample.inferenceMs))
                    .put("thermal", sample.thermal));
        }
        return new JSONObject()
                .put("delegate", sustained.delegate.id)
                .put("seconds", number(sustained.seconds))
                .put("samples", samples);
    }

    private static JSONObject percentiles(Percentiles values) throws JSONException {
        return new JSONObject()
                .put("p50", number(values.percentile(50))).put("p95", number(values.percentile(95)));
    }

    /** Short, and without what acts upon a terminal: readers refuse more. */
    private static String text(String value) {
        String printable = Spec.printable(value);
        return printable.substring(0, Math.min(MAX_TEXT, printable.length()));
    }

    /** To a microsecond; JSON has no NaN. */
    private static Object number(double value) {
        return Double.isNaN(value) || Double.isInfinite(value) ? JSONObject.NULL : Math.rint(value * 1000) / 1000;
    }

    private static String encode(float[] scores) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * scores.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(scores);
        return Base64.getEncoder().encodeToString(bytes.array());
    }
}
