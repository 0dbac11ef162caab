package ai.edgekit.demo.runtime;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import ai.edgekit.demo.runtime.DelegateRun.Status;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import org.junit.Test;

/** What the self-test takes for correct, which delegate it chooses, and its report. */
public final class SelfTestTest {
    private static final Golden CLEAR = new Golden(new float[] {0.7f, 0.2f, 0.1f}, "aa", null, "noise");
    private static final Golden CLOSE = new Golden(new float[] {0.45f, 0.44f, 0.11f}, "aa", null, "noise");

    @Test
    public void answersAreComparedByDigestToleranceAndLabel() {
        assertNull(SelfTest.compare(CLEAR, "aa", new float[] {0.69f, 0.21f, 0.1f}, 0.011, "It"));
        assertNull(SelfTest.compare(CLOSE, "aa", new float[] {0.44f, 0.45f, 0.11f}, 0.011, "It"));
        assertComplaint("prepared differently", CLEAR, "ab", 0.7f, 0.2f, 0.1f);
        assertComplaint("differs by 0.012", CLEAR, "aa", 0.688f, 0.2f, 0.1f);
        assertComplaint("differs by", CLEAR, "aa", 0.7f, Float.NaN, 0.1f);
        assertComplaint("differs by", CLEAR, "aa", Float.POSITIVE_INFINITY, 0.2f, 0.1f);
    }

    private static void assertComplaint(String wanted, Golden golden, String digest, float... scores) {
        String complaint = SelfTest.compare(golden, digest, scores, 0.011, "It");
        assertTrue(complaint, complaint != null && complaint.contains(wanted));
    }

    @Test
    public void theFastestCorrectDelegateIsChosen() {
        assertEquals(DelegateKind.GPU, chosen(run(DelegateKind.CPU, Status.OK, 9), run(DelegateKind.GPU, Status.OK, 3),
                run(DelegateKind.NNAPI, Status.OK, 4)));
        for (Status status : Status.values()) {
            DelegateKind expected = status == Status.OK ? DelegateKind.GPU : DelegateKind.CPU;
            assertEquals(expected, chosen(run(DelegateKind.CPU, Status.OK, 9), run(DelegateKind.GPU, status, 1)));
        }
        assertNull(chosen(run(DelegateKind.CPU, Status.WRONG, 1), run(DelegateKind.GPU, Status.FALLBACK, 1)));
    }

    private static DelegateKind chosen(DelegateRun... runs) {
        return new SelfTest.Result(Arrays.asList(runs)).chosen;
    }

    private static DelegateRun run(DelegateKind kind, Status status, double milliseconds) {
        DelegateRun.Builder run = new DelegateRun.Builder(kind, 2, 50);
        run.times.add(milliseconds);
        run.loadMs = 12.3456;
        if (kind == DelegateKind.GPU) {
            run.delegatedNodes = 60;
            run.totalNodes = 66;
        }
        if (status == Status.OK) {
            String digest = new String(new char[64]).replace("\0", "a");
            run.answers.add(new DelegateRun.Answer(digest, new float[] {0.25f, 0.5f, 0.25f}));
        }
        return run.build(status, status == Status.OK ? "" : "It is " + status.id + ".");
    }

    /** tests/android/ reads the reports that are written here with edgekit's own reader. */
    @Test
    public void reportsAreWritten() throws Exception {
        Report report = new Report();
        report.created = "2026-11-26T12:00:00Z";
        report.deviceName = "Phone \u202e\n" + new String(new char[600]).replace("\0", "x");
        report.system = "Android 15 (API 35)";
        report.abi = "arm64-v8a";
        report.appId = "ai.edgekit.demo";
        report.appVersion = "1.0";
        report.runtime = "TensorFlow Lite 2.16.1";
        report.modelName = "good";
        report.model = ModelFile.read(Cases.direct(Files.readAllBytes(Cases.made("models/good.tflite"))));
        report.selfTest = new SelfTest.Result(Arrays.asList(run(DelegateKind.CPU, Status.OK, 9),
                run(DelegateKind.GPU, Status.WRONG, 3),
                new DelegateRun.Builder(DelegateKind.NNAPI, 2, 50).build(Status.UNAVAILABLE, "It needs Android 8.1.")));
        write("small", report);
        report.cameraVectors = 8;
        report.cameraWrong = Arrays.asList(2, 7);
        report.live = new Report.Live();
        report.live.delegate = DelegateKind.CPU;
        report.live.seconds = 20;
        report.live.frames = 590;
        report.live.dropped = 10;
        report.live.preprocess = times(3);
        report.live.inference = times(9);
        report.live.total = times(12.5);
        report.sustained = new Report.Sustained();
        report.sustained.delegate = DelegateKind.GPU;
        report.sustained.seconds = 600;
        report.sustained.samples = Arrays.asList(new Report.Sample(10, 29.8, 12.1, "none"),
                new Report.Sample(20, 0, Double.NaN, "unknown"));
        write("full", report);
    }

    private static void write(String name, Report report) throws Exception {
        Files.write(Cases.made(name + ".report.json"), report.toJson().getBytes(StandardCharsets.UTF_8));
    }

    private static Percentiles times(double value) {
        Percentiles times = new Percentiles(10);
        times.add(value);
        return times;
    }
}
