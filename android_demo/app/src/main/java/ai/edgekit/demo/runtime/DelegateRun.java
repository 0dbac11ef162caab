package ai.edgekit.demo.runtime;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What the self-test found about one delegate. */
public final class DelegateRun {
    /** How a delegate did; only one that is OK may be chosen. */
    public enum Status {
        OK("ok"),
        /** It prepares or answers differently from the golden answers. */
        WRONG("wrong"),
        /** It loaded but took no node, so that the CPU did all the work. */
        FALLBACK("fallback"),
        /** It ended the process at an earlier try, and was not tried again. */
        CRASHED("crashed"),
        FAILED("failed"),
        /** This phone does not have it. */
        UNAVAILABLE("unavailable");

        /** The name in reports. */
        public final String id;

        Status(String id) {
            this.id = id;
        }
    }

    /** The digest of a golden image's prepared input, and the scores that the delegate gave. */
    public static final class Answer {
        public final String inputSha256;
        public final float[] scores;

        Answer(String inputSha256, float[] scores) {
            this.inputSha256 = inputSha256;
            this.scores = scores;
        }
    }

    public final DelegateKind delegate;
    public final int threads;
    public final Status status;

    /** One sentence in English. */
    public final String detail;

    /** How many of the nodes the delegate took, and how many there are; -1 where that is not counted. */
    public final int delegatedNodes;
    public final int totalNodes;

    /** Milliseconds, NaN where it was not measured; `runs` says how many inferences were. */
    public final double loadMs;
    public final double p50Ms;
    public final double p95Ms;
    public final int runs;

    /** In the order of the spec's golden answers: all of them, or none. */
    public final List<Answer> answers;

    private DelegateRun(Builder from, Status status, String detail) {
        this.delegate = from.delegate;
        this.threads = from.threads;
        this.status = status;
        this.detail = detail;
        this.delegatedNodes = from.delegatedNodes;
        this.totalNodes = from.totalNodes;
        this.loadMs = from.loadMs;
        this.p50Ms = from.times.percentile(50);
        this.p95Ms = from.times.percentile(95);
        this.runs = from.times.count();
        this.answers = Collections.unmodifiableList(new ArrayList<>(from.answers));
    }

    /** Collects what is found until the status is known. */
    static final class Builder {
        final DelegateKind delegate;
        final int threads;
        final Percentiles times;
        final List<Answer> answers = new ArrayList<>();
        int delegatedNodes = -1;
        int totalNodes = -1;
        double loadMs = Double.NaN;

        Builder(DelegateKind delegate, int threads, int runs) {
            this.delegate = delegate;
            this.threads = threads;
            this.times = new Percentiles(runs);
        }

        DelegateRun build(Status status, String detail) {
            return new DelegateRun(this, status, detail);
        }
    }
}
