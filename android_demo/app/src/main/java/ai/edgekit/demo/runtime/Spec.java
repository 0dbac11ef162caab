package ai.edgekit.demo.runtime;

import java.util.List;
import java.util.Map;

/**
 * Everything that a runtime has to know about a model: the twin of edgekit/runtime/spec.py, described in docs/spec.md.
 * Reading is strict: what does not hold together, or is not known, is refused.
 */
public final class Spec {
    static final int VERSION = 1;
    static final int MAX_JSON_BYTES = 32 << 20;

    /** Affine quantization of a whole tensor: real = scale · (q − zeroPoint). */
    public static final class Quantization {
        public final double scale;
        public final int zeroPoint;

        Quantization(double scale, int zeroPoint) {
            this.scale = scale;
            this.zeroPoint = zeroPoint;
        }
    }

    /** The one image that the model takes. `quantization` is null for float32. */
    public static final class Input {
        public final String name;
        public final int height;
        public final int width;
        public final int channels;
        public final String dtype;
        public final String layout;
        public final Quantization quantization;

        Input(String name, int height, int width, int channels, String dtype, String layout,
                Quantization quantization) {
            this.name = name;
            this.height = height;
            this.width = width;
            this.channels = channels;
            this.dtype = dtype;
            this.layout = layout;
            this.quantization = quantization;
        }
    }

    /** Which part of the image the model sees. `fill` is RGB. */
    public static final class Crop {
        public final String mode;
        public final double fraction;
        public final String rounding;
        public final int[] fill;

        Crop(String mode, double fraction, String rounding, int[] fill) {
            this.mode = mode;
            this.fraction = fraction;
            this.rounding = rounding;
            this.fill = fill;
        }
    }

    /** From a decoded image to the numbers that the model takes: real = (byte − mean) / std. */
    public static final class Preprocessing {
        public final String resize;
        public final Crop crop;
        public final String orientation;
        public final String channelOrder;
        public final double[] mean;
        public final double[] std;

        Preprocessing(String resize, Crop crop, String orientation, String channelOrder, double[] mean,
                double[] std) {
            this.resize = resize;
            this.crop = crop;
            this.orientation = orientation;
            this.channelOrder = channelOrder;
            this.mean = mean;
            this.std = std;
        }
    }

    /** Temperature of the scores; below `threshold` (null: never) the answer is "not sure". */
    public static final class Calibration {
        public final double temperature;
        public final Double threshold;

        Calibration(double temperature, Double threshold) {
            this.temperature = temperature;
            this.threshold = threshold;
        }
    }

    /** The scores. `activation` is what the tensor already holds. */
    public static final class Output {
        public final String name;
        public final String activation;
        public final String dtype;
        public final Quantization quantization;
        public final Calibration calibration;

        Output(String name, String activation, String dtype, Quantization quantization, Calibration calibration) {
            this.name = name;
            this.activation = activation;
            this.dtype = dtype;
            this.quantization = quantization;
            this.calibration = calibration;
        }
    }

    /** Pixels (0 to 255, after crop and resize) of the images that a model was trained on. */
    public static final class PixelStatistics {
        public final double minimum;
        public final double maximum;
        public final double mean;
        public final double std;

        PixelStatistics(double minimum, double maximum, double mean, double std) {
            this.minimum = minimum;
            this.maximum = maximum;
            this.mean = mean;
            this.std = std;
        }
    }

    /** Where the model comes from. */
    public static final class Provenance {
        public final String source;
        public final String sourceSha256;
        public final List<String> steps;
        public final Map<String, String> tools;
        public final String calibrationSha256;
        public final PixelStatistics trainedOn;

        Provenance(String source, String sourceSha256, List<String> steps, Map<String, String> tools,
                String calibrationSha256, PixelStatistics trainedOn) {
            this.source = source;
            this.sourceSha256 = sourceSha256;
            this.steps = steps;
            this.tools = tools;
            this.calibrationSha256 = calibrationSha256;
            this.trainedOn = trainedOn;
        }
    }

    /** What `edgekit validate --stamp` found; `figures` are accuracies in 0 to 1, the drop in points. */
    public static final class Verdict {
        public final String outcome;
        public final String modelSha256;
        public final String referenceSha256;
        public final String dataSha256;
        public final long images;
        public final Map<String, Double> figures;
        public final Map<String, Double> gate;

        Verdict(String outcome, String modelSha256, String referenceSha256, String dataSha256, long images,
                Map<String, Double> figures, Map<String, Double> gate) {
            this.outcome = outcome;
            this.modelSha256 = modelSha256;
            this.referenceSha256 = referenceSha256;
            this.dataSha256 = dataSha256;
            this.images = images;
            this.figures = figures;
            this.gate = gate;
        }
    }

    public final Input input;
    public final Preprocessing preprocess;
    public final Output output;
    public final List<String> labels;
    public final String task;
    public final String scheme;
    public final Provenance provenance;
    public final List<Golden> golden;

    /** Null when the model was never validated. `ModelFile.verdict()` tells whether it is about this model. */
    public final Verdict verdict;

    Spec(Input input, Preprocessing preprocess, Output output, List<String> labels, String task, String scheme,
            Provenance provenance, List<Golden> golden, Verdict verdict) {
        this.input = input;
        this.preprocess = preprocess;
        this.output = output;
        this.labels = labels;
        this.task = task;
        this.scheme = scheme;
        this.provenance = provenance;
        this.golden = golden;
        this.verdict = verdict;
    }

    /** Reads and checks a document in UTF-8; the exception's message names the field that is wrong. */
    public static Spec parse(byte[] json) throws SpecException {
        if (json.length > MAX_JSON_BYTES) {
            throw new SpecException("The spec is larger than " + (MAX_JSON_BYTES >> 20) + " MB.");
        }
        return SpecReader.read(Json.parse(json));
    }

    /** Text from a file without control and direction-changing characters, to be shown. */
    public static String printable(String text) {
        StringBuilder clean = new StringBuilder(text.length());
        for (int at = 0; at < text.length(); ) {
            int character = text.codePointAt(at);
            at += Character.charCount(character);
            clean.appendCodePoint(isPrintable(character) ? character : '\uFFFD');
        }
        return clean.toString();
    }

    private static boolean isPrintable(int character) {
        switch (Character.getType(character)) {
            case Character.CONTROL:
            case Character.FORMAT:
            case Character.SURROGATE:
            case Character.PRIVATE_USE:
            case Character.UNASSIGNED:
            case Character.LINE_SEPARATOR:
            case Character.PARAGRAPH_SEPARATOR:
                return false;
            case Character.SPACE_SEPARATOR:
                return character == ' ';
            default:
                return true;
        }
    }
}
