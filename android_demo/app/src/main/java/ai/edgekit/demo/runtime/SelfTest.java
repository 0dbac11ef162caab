package ai.edgekit.demo.runtime;

import ai.edgekit.demo.runtime.DelegateRun.Status;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import org.tensorflow.lite.Delegate;

/**
 * Runs a model's golden images on every delegate. The fastest one that is correct is chosen: its prepared inputs are
 * the expected ones to the byte, its scores lie within the tolerance, and it took work from the CPU at all.
 */
public final class SelfTest {
    private static final int WARM_UP_RUNS = 5;
    private static final int TIMED_RUNS = 50;
    private static final int FEWEST_TIMED_RUNS = 3;
    private static final long WARM_UP_NANOS = 500_000_000L;
    private static final long TIMED_NANOS = 2_000_000_000L;

    /** Hears of the progress, on the thread that runs the test. */
    public interface Listener {
        void started(DelegateKind kind);

        void finished(DelegateRun run);
    }

    /** All runs, and the delegate to use; null when none is correct. */
    public static final class Result {
        public final List<DelegateRun> runs;
        public final DelegateKind chosen;

        Result(List<DelegateRun> runs) {
            this.runs = Collections.unmodifiableList(runs);
            DelegateRun best = null;
            for (DelegateRun run : runs) {
                if (run.status == Status.OK && (best == null || run.p50Ms < best.p50Ms)) {
                    best = run;
                }
            }
            chosen = best == null ? null : best.delegate;
        }
    }

    private SelfTest() {}

    /** Tries CPU, GPU and NNAPI one after the other. It takes seconds. */
    public static Result run(ModelFile model, DelegateFactory factory, GoldenDecoder decoder, CrashMarker marker,
            int threads, Listener listener) {
        List<DelegateRun> runs = new ArrayList<>();
        for (DelegateKind kind : DelegateKind.values()) {
            listener.started(kind);
            DelegateRun run = run(kind, model, factory, decoder, marker, threads);
            runs.add(run);
            listener.finished(run);
        }
        return new Result(runs);
    }

    /** Tries one delegate. */
    public static DelegateRun run(DelegateKind kind, ModelFile model, DelegateFactory factory, GoldenDecoder decoder,
            CrashMarker marker, int threads) {
        DelegateRun.Builder run = new DelegateRun.Builder(kind, threads, TIMED_RUNS);
        if (marker.crashed(kind, model.digest)) {
            return run.build(Status.CRASHED, "It ended the app when it was tried before.");
        }
        marker.trying(kind, model.digest);
        DelegateRun result;
        try {
            result = tryOut(run, model, factory, decoder);
        } catch (UnavailableException error) {
            result = run.build(Status.UNAVAILABLE, Classifier.firstLine(error));
        } catch (Throwable error) { // vendors' drivers and missing classes or libraries throw whatever they like
            run.answers.clear();
            result = run.build(Status.FAILED, Classifier.firstLine(error));
        }
        marker.done(kind, model.digest);
        return result;
    }

    private static DelegateRun tryOut(DelegateRun.Builder run, ModelFile model, DelegateFactory factory,
            GoldenDecoder decoder) throws Exception {
        boolean cpu = run.delegate == DelegateKind.CPU;
        long start = System.nanoTime();
        Delegate delegate = cpu ? null : factory.create(run.delegate, model);
        try (Classifier classifier = new Classifier(model, delegate, run.threads, cpu)) {
            run.loadMs = (System.nanoTime() - start) / 1e6;
            if (!cpu) {
                run.delegatedNodes = classifier.delegatedNodes();
                run.totalNodes = classifier.nodes();
            }
            String complaint = compare(run, model.spec, classifier, decoder);
            time(run, classifier);
            if (run.delegatedNodes == 0) {
                return run.build(Status.FALLBACK, "It loaded but took no operator, so the CPU does all the work.");
            }
            return complaint == null ? run.build(Status.OK, "") : run.build(Status.WRONG, complaint);
        } finally {
            if (delegate != null) {
                delegate.close();
            }
        }
    }

    /** Runs the golden images; what is wrong with the answers, or null. */
    private static String compare(DelegateRun.Builder run, Spec spec, Classifier classifier, GoldenDecoder decoder)
            throws Exception {
        Preprocess preprocess = new Preprocess(spec);
        double tolerance = Tolerance.of(spec.scheme, run.delegate);
        String complaint = null;
        if (spec.golden.isEmpty() && run.delegate != DelegateKind.CPU) {
            complaint = "The model carries no golden answers to prove it by.";
        }
        for (int i = 0; i < spec.golden.size(); i++) {
            Golden golden = spec.golden.get(i);
            DecodedImage image = golden.pixels(spec, decoder);
            preprocess.image(image.argb, image.width, image.height, classifier.input);
            String digest = ModelFile.sha256(classifier.input.duplicate());
            float[] scores = classifier.run().clone();
            run.answers.add(new DelegateRun.Answer(digest, scores));
            if (complaint == null) {
                complaint = compare(golden, digest, scores, tolerance, "Golden image " + (i + 1));
            }
        }
        return complaint;
    }

    static String compare(Golden golden, String digest, float[] scores, double tolerance, String name) {
        if (!digest.equals(golden.inputSha256)) {
            return name + " is prepared differently.";
        }
        int expected = Scores.best(golden.scores);
        double difference = 0;
        double second = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < scores.length; i++) {
            double off = Math.abs((double) scores[i] - golden.scores[i]);
            difference = Math.max(difference, Double.isNaN(off) ? Double.POSITIVE_INFINITY : off);
            second = i == expected ? second : Math.max(second, golden.scores[i]);
        }
        if (!(difference <= tolerance)) {
            return String.format(Locale.ROOT, "%s: a score differs by %.2g; %.2g is allowed.", name, difference,
                    tolerance);
        }
        if (golden.scores[expected] - second > 2 * tolerance && Scores.best(scores) != expected) {
            return name + " gets another label.";
        }
        return null;
    }

    /** Median and tail of warm runs: as many as fit into two seconds, within limits. */
    private static void time(DelegateRun.Builder run, Classifier classifier) throws ModelFileException {
        long start = System.nanoTime();
        for (int i = 0; i < WARM_UP_RUNS && System.nanoTime() - start < WARM_UP_NANOS; i++) {
            classifier.run();
        }
        start = System.nanoTime();
        while (run.times.count() < FEWEST_TIMED_RUNS
                || (run.times.count() < TIMED_RUNS && System.nanoTime() - start < TIMED_NANOS)) {
            long before = System.nanoTime();
            classifier.run();
            run.times.add((System.nanoTime() - before) / 1e6);
        }
    }
}
