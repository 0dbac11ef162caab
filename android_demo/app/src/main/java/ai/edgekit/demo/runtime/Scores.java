package ai.edgekit.demo.runtime;

/** From a model's output to scores: `to_scores` of edgekit/runtime/classify.py, within the last digits of a float. */
public final class Scores {
    private Scores() {}

    /**
     * Applies the activation that the graph leaves out and the temperature; a width of 1 with two labels becomes
     * [1 − p, p]. `output` is what the tensor holds, dequantized; `scores` has one entry per label.
     */
    public static void fromOutput(float[] output, Spec.Output spec, float[] scores) {
        double temperature = spec.calibration.temperature;
        boolean logits = spec.activation.equals("logits");
        if (output.length == 1 && scores.length == 2) {
            float positive = output[0];
            if (logits) {
                positive = sigmoid(output[0] / temperature);
            } else if (temperature != 1) {
                positive = sigmoid(logit(output[0]) / temperature);
            }
            scores[0] = 1 - positive;
            scores[1] = positive;
        } else if (logits) {
            softmax(output, temperature, false, scores);
        } else if (temperature == 1) {
            System.arraycopy(output, 0, scores, 0, scores.length);
        } else if (spec.activation.equals("sigmoid")) {
            for (int i = 0; i < scores.length; i++) {
                scores[i] = sigmoid(logit(output[i]) / temperature);
            }
        } else {
            softmax(output, temperature, true, scores);
        }
    }

    /** Whether all scores are numbers that can be ranked. */
    public static boolean areFinite(float[] scores) {
        for (float score : scores) {
            if (Float.isNaN(score) || Float.isInfinite(score)) {
                return false;
            }
        }
        return true;
    }

    /** The index of the best score; of equal ones the first. */
    public static int best(float[] scores) {
        int best = 0;
        for (int i = 1; i < scores.length; i++) {
            best = scores[i] > scores[best] ? i : best;
        }
        return best;
    }

    /** Whether the best of these scores is enough for an answer; otherwise it is "not sure". */
    public static boolean areSure(float[] scores, Spec.Output spec) {
        Double threshold = spec.calibration.threshold;
        return threshold == null || scores[best(scores)] >= threshold;
    }

    private static void softmax(float[] output, double temperature, boolean fromScores, float[] scores) {
        double highest = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < scores.length; i++) {
            highest = Math.max(highest, logit(output[i], temperature, fromScores));
        }
        double total = 0;
        for (int i = 0; i < scores.length; i++) {
            total += Math.exp(logit(output[i], temperature, fromScores) - highest);
        }
        for (int i = 0; i < scores.length; i++) {
            scores[i] = (float) (Math.exp(logit(output[i], temperature, fromScores) - highest) / total);
        }
    }

    private static double logit(float output, double temperature, boolean fromScore) {
        return (fromScore ? Math.log(Math.max(output, 1e-12)) : output) / temperature;
    }

    private static float sigmoid(double logit) {
        return (float) (1 / (1 + Math.exp(-Math.max(-80, Math.min(80, logit)))));
    }

    /** In float, as in Python: how far the clipped ends are from 0 and 1 decides what the temperature makes of them. */
    private static float logit(float score) {
        float clipped = Math.max(1e-7f, Math.min((float) (1 - 1e-7), score));
        return (float) Math.log(clipped / (1 - clipped));
    }
}
