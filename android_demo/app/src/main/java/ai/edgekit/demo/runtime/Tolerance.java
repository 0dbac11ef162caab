package ai.edgekit.demo.runtime;

/** By how much a score may differ from the golden answer: the table "Tolerances of the app" in docs/spec.md. */
public final class Tolerance {
    private Tolerance() {}

    /** The largest difference that is allowed for a scheme of the spec on a delegate. */
    public static double of(String scheme, DelegateKind kind) {
        boolean cpu = kind == DelegateKind.CPU;
        switch (scheme) {
            case "none":
            case "float16":
            case "weight8":
            case "weight4":
                return cpu ? 1e-4 : 0.05;
            case "int16x8":
                return cpu ? 0.02 : 0.1;
            default:
                return 0.1;
        }
    }
}
