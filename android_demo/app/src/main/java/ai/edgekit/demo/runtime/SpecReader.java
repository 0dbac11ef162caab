package ai.edgekit.demo.runtime;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** From JSON values to a checked Spec; `_build` and `_check` of edgekit/runtime/spec.py. */
final class SpecReader {
    static final int MAX_LABELS = 100_000;
    private static final int MAX_LABEL_CHARACTERS = 500;
    private static final int MAX_SIDE = 8192;
    private static final int MAX_GOLDEN = 16;

    private SpecReader() {}

    static Spec read(Object value) throws SpecException {
        if (!(value instanceof Map)) {
            throw new SpecException("The spec is not a JSON object.");
        }
        JsonObject document = new JsonObject("document", value);
        Object version = document.raw("edgekit");
        if (!BigInteger.valueOf(Spec.VERSION).equals(version)) {
            String shown = String.valueOf(version);
            throw new SpecException("The spec has version '" + shorten(shown, 20) + "'; this app reads version "
                    + Spec.VERSION + ".");
        }
        document.allow("edgekit", "input", "preprocess", "output", "labels", "task", "scheme", "provenance", "golden",
                "verdict");
        Spec.Input input = input(document.object("input"));
        List<String> labels = document.texts("labels", null);
        Spec spec = new Spec(
                input,
                preprocessing(document.object("preprocess")),
                output(document.object("output")),
                labels,
                document.text("task", "classification"),
                document.text("scheme", "none"),
                provenance(document.objectOr("provenance")),
                goldens(document.objects("golden"), labels.size()),
                verdict(document.objectOrNull("verdict")));
        check(spec);
        return spec;
    }

    private static Spec.Input input(JsonObject from) throws SpecException {
        from.allow("name", "height", "width", "channels", "dtype", "layout", "quantization");
        return new Spec.Input(
                from.text("name"),
                from.whole("height"),
                from.whole("width"),
                from.whole("channels"),
                from.text("dtype"),
                from.text("layout", "NHWC"),
                quantization(from.objectOrNull("quantization")));
    }

    private static Spec.Quantization quantization(JsonObject from) throws SpecException {
        if (from == null) {
            return null;
        }
        from.allow("scale", "zero_point");
        return new Spec.Quantization(from.number("scale"), from.whole("zero_point"));
    }

    private static Spec.Preprocessing preprocessing(JsonObject from) throws SpecException {
        from.allow("resize", "crop", "orientation", "channel_order", "mean", "std");
        return new Spec.Preprocessing(
                from.text("resize"),
                crop(from.objectOr("crop")),
                from.text("orientation", "exif"),
                from.text("channel_order", "RGB"),
                from.numbers("mean", 0, 0, 0),
                from.numbers("std", 1, 1, 1));
    }

    private static Spec.Crop crop(JsonObject from) throws SpecException {
        from.allow("mode", "fraction", "rounding", "fill");
        return new Spec.Crop(
                from.text("mode", "none"),
                from.number("fraction", 1.0),
                from.text("rounding", "floor"),
                from.three("fill"));
    }

    private static Spec.Output output(JsonObject from) throws SpecException {
        from.allow("name", "activation", "dtype", "quantization", "calibration");
        JsonObject calibration = from.objectOr("calibration");
        calibration.allow("temperature", "threshold");
        return new Spec.Output(
                from.text("name"),
                from.text("activation"),
                from.text("dtype", "float32"),
                quantization(from.objectOrNull("quantization")),
                new Spec.Calibration(calibration.number("temperature", 1.0), calibration.numberOrNull("threshold")));
    }

    private static Spec.Provenance provenance(JsonObject from) throws SpecException {
        from.allow("source", "source_sha256", "steps", "tools", "calibration_sha256", "trained_on");
        JsonObject pixels = from.objectOrNull("trained_on");
        Spec.PixelStatistics trainedOn = null;
        if (pixels != null) {
            pixels.allow("minimum", "maximum", "mean", "std");
            trainedOn = new Spec.PixelStatistics(
                    pixels.number("minimum"), pixels.number("maximum"), pixels.number("mean"), pixels.number("std"));
        }
        return new Spec.Provenance(
                from.text("source", ""),
                from.text("source_sha256", ""),
                from.texts("steps", Collections.<String>emptyList()),
                from.textMap("tools"),
                from.text("calibration_sha256", ""),
                trainedOn);
    }

    private static List<Golden> goldens(List<JsonObject> entries, int labels) throws SpecException {
        List<Golden> goldens = new ArrayList<>();
        for (JsonObject from : entries) {
            from.allow("scores", "input_sha256", "image", "pattern");
            String scores = from.text("scores");
            String image = from.textOrNull("image");
            String pattern = from.textOrNull("pattern");
            String inputSha256 = from.text("input_sha256");
            if ((image == null) == (pattern == null)) {
                throw new SpecException("The spec's golden entries need either an image or a pattern.");
            }
            if (pattern != null && !Patterns.NAMES.contains(pattern)) {
                throw new SpecException("The spec's golden.pattern must be one of " + join(Patterns.NAMES) + ".");
            }
            goldens.add(new Golden(scores(scores, labels), inputSha256, image, pattern));
        }
        return Collections.unmodifiableList(goldens);
    }

    private static float[] scores(String base64, int labels) throws SpecException {
        byte[] bytes = null;
        if (base64.length() % 4 == 0) { // the decoder takes a group without its padding
            try {
                bytes = Base64.getDecoder().decode(base64);
            } catch (IllegalArgumentException error) {
                bytes = null;
            }
        }
        if (bytes == null) {
            throw new SpecException("The spec's golden.scores is not valid base64.");
        }
        if (bytes.length != 4 * labels) {
            throw new SpecException("The spec's golden.scores do not fit its labels.");
        }
        float[] scores = new float[labels];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(scores);
        return scores;
    }

    private static Spec.Verdict verdict(JsonObject from) throws SpecException {
        if (from == null) {
            return null;
        }
        from.allow("outcome", "model_sha256", "reference_sha256", "data_sha256", "images", "figures", "gate");
        return new Spec.Verdict(
                from.text("outcome"),
                from.text("model_sha256"),
                from.text("reference_sha256"),
                from.text("data_sha256"),
                from.longWhole("images"),
                from.numberMap("figures"),
                from.numberMap("gate"));
    }

    private static void check(Spec spec) throws SpecException {
        Spec.Input input = spec.input;
        Spec.Preprocessing preprocess = spec.preprocess;
        Spec.Crop crop = preprocess.crop;
        Spec.Output output = spec.output;
        oneOf("task", spec.task, "classification");
        oneOf("scheme", spec.scheme, "none", "float16", "dynamic", "weight8", "weight4", "dynamic4", "int8", "int16x8",
                "unknown");
        oneOf("input.dtype", input.dtype, "uint8", "int8", "int16", "float32");
        oneOf("input.layout", input.layout, "NHWC", "NCHW");
        oneOf("preprocess.resize", preprocess.resize, "bilinear-aa", "bicubic-aa", "bilinear", "nearest");
        oneOf("preprocess.crop.mode", crop.mode, "none", "center", "pad");
        oneOf("preprocess.crop.rounding", crop.rounding, "floor", "round");
        oneOf("preprocess.orientation", preprocess.orientation, "exif", "ignore");
        oneOf("preprocess.channel_order", preprocess.channelOrder, "RGB", "BGR", "gray");
        oneOf("output.activation", output.activation, "softmax", "sigmoid", "logits");
        oneOf("output.dtype", output.dtype, "uint8", "int8", "int16", "float32");
        int channels = preprocess.channelOrder.equals("gray") ? 1 : 3;
        demand(1 <= input.height && input.height <= MAX_SIDE && 1 <= input.width && input.width <= MAX_SIDE,
                "input is " + input.width + "×" + input.height + "; sides from 1 to " + MAX_SIDE + " are supported");
        demand(input.channels == channels, "input has " + input.channels
                + " channels, which does not fit the channel order " + preprocess.channelOrder);
        demand(preprocess.mean.length == channels && preprocess.std.length == channels,
                "preprocess.mean and .std must have " + channels + " entries");
        for (double std : preprocess.std) {
            demand(std > 0, "preprocess.std must be positive");
        }
        demand(crop.fraction > 0 && crop.fraction <= 1, "preprocess.crop.fraction must be above 0 and at most 1");
        demand(crop.mode.equals("center") || crop.fraction == 1,
                "preprocess.crop.fraction belongs to the crop mode center");
        for (int part : crop.fill) {
            demand(0 <= part && part <= 255, "preprocess.crop.fill must be bytes");
        }
        demand(input.dtype.equals("float32") == (input.quantization == null),
                "input.quantization does not fit input.dtype");
        demand(output.dtype.equals("float32") == (output.quantization == null),
                "output.quantization does not fit output.dtype");
        for (Spec.Quantization quantization : Arrays.asList(input.quantization, output.quantization)) {
            if (quantization != null) {
                demand(quantization.scale > 0, "quantization scales must be positive");
                demand(-32768 <= quantization.zeroPoint && quantization.zeroPoint <= 32767,
                        "quantization zero points must fit in 16 bits");
            }
        }
        demand(output.calibration.temperature > 0, "output.calibration.temperature must be positive");
        Double threshold = output.calibration.threshold;
        demand(threshold == null || (0 <= threshold && threshold <= 1),
                "output.calibration.threshold must lie between 0 and 1");
        demand(2 <= spec.labels.size(), "labels must be 2 to " + MAX_LABELS);
        for (String label : spec.labels) {
            demand(!label.isEmpty() && label.codePointCount(0, label.length()) <= MAX_LABEL_CHARACTERS,
                    "labels must have 1 to " + MAX_LABEL_CHARACTERS + " characters");
        }
        demand(spec.golden.size() <= MAX_GOLDEN, "golden has more than " + MAX_GOLDEN + " entries");
        if (spec.verdict != null && !Arrays.asList("pass", "fail", "inconclusive").contains(spec.verdict.outcome)) {
            throw new SpecException("The spec's verdict.outcome must be one of pass, fail, inconclusive.");
        }
    }

    private static void oneOf(String name, String value, String... allowed) throws SpecException {
        if (!Arrays.asList(allowed).contains(value)) {
            throw new SpecException("The spec's " + name + " is '" + shorten(value, 40) + "'; it must be one of "
                    + join(Arrays.asList(allowed)) + ".");
        }
    }

    private static void demand(boolean right, String complaint) throws SpecException {
        if (!right) {
            throw new SpecException("The spec does not hold together: " + complaint + ".");
        }
    }

    private static String join(Iterable<String> names) {
        StringBuilder joined = new StringBuilder();
        for (String name : names) {
            joined.append(joined.length() == 0 ? "" : ", ").append(name);
        }
        return joined.toString();
    }

    private static String shorten(String text, int length) {
        return Spec.printable(text.length() > length ? text.substring(0, length) : text);
    }

    /** The members of a JSON object, by the names and types that a spec gives them. */
    private static final class JsonObject {
        private final String name;
        private final Map<?, ?> members;

        JsonObject(String name, Object value) throws SpecException {
            if (!(value instanceof Map)) {
                throw new SpecException("The spec's " + name + " is not an object.");
            }
            this.name = name;
            this.members = (Map<?, ?>) value;
        }

        /** Refuses members that are not named here. */
        void allow(String... names) throws SpecException {
            Set<Object> unknown = new HashSet<Object>(members.keySet());
            unknown.removeAll(Arrays.asList(names));
            for (Object key : unknown) {
                throw new SpecException("The spec's " + name + " has an unknown field '" + shorten((String) key, 40)
                        + "'.");
            }
        }

        Object raw(String key) {
            return members.get(key);
        }

        boolean has(String key) {
            return members.containsKey(key);
        }

        JsonObject object(String key) throws SpecException {
            return new JsonObject(path(key), required(key));
        }

        /** An object with only defaults when it is left out. */
        JsonObject objectOr(String key) throws SpecException {
            return has(key) ? object(key) : new JsonObject(path(key), Collections.emptyMap());
        }

        JsonObject objectOrNull(String key) throws SpecException {
            return raw(key) == null ? null : object(key);
        }

        List<JsonObject> objects(String key) throws SpecException {
            List<JsonObject> objects = new ArrayList<>();
            if (has(key)) {
                for (Object item : list(key)) {
                    objects.add(new JsonObject(path(key) + "[" + objects.size() + "]", item));
                }
            }
            return objects;
        }

        String text(String key) throws SpecException {
            return asText(required(key), path(key));
        }

        String text(String key, String otherwise) throws SpecException {
            return has(key) ? text(key) : otherwise;
        }

        String textOrNull(String key) throws SpecException {
            return raw(key) == null ? null : text(key);
        }

        /** A list of strings; required when there is no `otherwise`. */
        List<String> texts(String key, List<String> otherwise) throws SpecException {
            if (otherwise != null && !has(key)) {
                return otherwise;
            }
            List<String> texts = new ArrayList<>();
            for (Object item : list(key)) {
                texts.add(asText(item, path(key) + "[" + texts.size() + "]"));
            }
            return Collections.unmodifiableList(texts);
        }

        Map<String, String> textMap(String key) throws SpecException {
            Map<String, String> texts = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : map(key).entrySet()) {
                texts.put(asText(entry.getKey(), path(key) + "'s key"), asText(entry.getValue(), path(key, entry)));
            }
            return Collections.unmodifiableMap(texts);
        }

        Map<String, Double> numberMap(String key) throws SpecException {
            Map<String, Double> numbers = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : map(key).entrySet()) {
                numbers.put(asText(entry.getKey(), path(key) + "'s key"), asNumber(entry.getValue(), path(key, entry)));
            }
            return Collections.unmodifiableMap(numbers);
        }

        /** A whole number; one beyond 32 bits becomes the nearest of them, which every range refuses. */
        int whole(String key) throws SpecException {
            return (int) Math.max(Integer.MIN_VALUE, Math.min(Integer.MAX_VALUE, longWhole(key)));
        }

        long longWhole(String key) throws SpecException {
            return asWhole(required(key), path(key));
        }

        double number(String key) throws SpecException {
            return asNumber(required(key), path(key));
        }

        double number(String key, double otherwise) throws SpecException {
            return has(key) ? number(key) : otherwise;
        }

        Double numberOrNull(String key) throws SpecException {
            return raw(key) == null ? null : Double.valueOf(number(key));
        }

        double[] numbers(String key, double... otherwise) throws SpecException {
            if (!has(key)) {
                return otherwise;
            }
            List<?> items = list(key);
            double[] numbers = new double[items.size()];
            for (int i = 0; i < numbers.length; i++) {
                numbers[i] = asNumber(items.get(i), path(key) + "[" + i + "]");
            }
            return numbers;
        }

        /** Three whole numbers, zeros when they are left out. */
        int[] three(String key) throws SpecException {
            int[] numbers = new int[3];
            if (has(key)) {
                List<?> items = list(key);
                if (items.size() != 3) {
                    throw new SpecException("The spec's " + path(key) + " must have 3 entries.");
                }
                for (int i = 0; i < 3; i++) {
                    long number = asWhole(items.get(i), path(key) + "[" + i + "]");
                    numbers[i] = (int) Math.max(-1, Math.min(256, number));
                }
            }
            return numbers;
        }

        private Object required(String key) throws SpecException {
            if (!has(key)) {
                throw new SpecException("The spec's " + name + " lacks the field '" + key + "'.");
            }
            return raw(key);
        }

        private List<?> list(String key) throws SpecException {
            Object value = required(key);
            if (!(value instanceof List) || ((List<?>) value).size() > MAX_LABELS) {
                throw new SpecException("The spec's " + path(key) + " is not a list, or too long.");
            }
            return (List<?>) value;
        }

        private Map<?, ?> map(String key) throws SpecException {
            return has(key) ? object(key).members : Collections.emptyMap();
        }

        private String path(String key) {
            return name.equals("document") ? key : name + "." + key;
        }

        private String path(String key, Map.Entry<?, ?> entry) {
            return path(key) + "." + shorten((String) entry.getKey(), 40);
        }

        private static String asText(Object value, String name) throws SpecException {
            if (!(value instanceof String)) {
                throw new SpecException("The spec's " + name + " is not a string.");
            }
            String text = (String) value;
            for (int at = 0; at < text.length(); at++) {
                boolean pair = at + 1 < text.length()
                        && Character.isSurrogatePair(text.charAt(at), text.charAt(at + 1));
                if (pair) {
                    at++;
                } else if (Character.isSurrogate(text.charAt(at))) {
                    throw new SpecException("The spec's " + name + " is not valid Unicode.");
                }
            }
            return text;
        }

        private static long asWhole(Object value, String name) throws SpecException {
            if (!(value instanceof BigInteger)) {
                throw new SpecException("The spec's " + name + " is not a whole number.");
            }
            BigInteger number = (BigInteger) value;
            if (number.bitLength() < Long.SIZE) {
                return number.longValue();
            }
            return number.signum() < 0 ? Long.MIN_VALUE : Long.MAX_VALUE;
        }

        private static double asNumber(Object value, String name) throws SpecException {
            double number = value instanceof Number ? ((Number) value).doubleValue() : Double.NaN;
            if (Double.isNaN(number) || Double.isInfinite(number)) {
                throw new SpecException("The spec's " + name + " is not a finite number.");
            }
            return number;
        }
    }
}
