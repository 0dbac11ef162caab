package ai.edgekit.demo.runtime;

import java.util.Base64;

/** An image and the model's own answer to it on the reference runtime. Either `image` or `pattern` is set. */
public final class Golden {
    /** The expected scores by label. */
    public final float[] scores;

    /** Digest of the prepared input tensor. */
    public final String inputSha256;

    /** A PNG file in base64, or null. */
    public final String image;

    /** The name of a generated image (`Patterns`), or null. */
    public final String pattern;

    Golden(float[] scores, String inputSha256, String image, String pattern) {
        this.scores = scores;
        this.inputSha256 = inputSha256;
        this.image = image;
        this.pattern = pattern;
    }

    /** The pixels of the image or pattern. */
    DecodedImage pixels(Spec spec, GoldenDecoder decoder) throws Exception {
        if (pattern != null) {
            int[] argb = Patterns.argb(pattern, spec.input.height, spec.input.width);
            return new DecodedImage(argb, spec.input.width, spec.input.height);
        }
        return decoder.decode(Base64.getDecoder().decode(image));
    }
}
