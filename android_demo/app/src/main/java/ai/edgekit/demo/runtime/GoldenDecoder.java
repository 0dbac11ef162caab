package ai.edgekit.demo.runtime;

/** Decodes the small PNG files of golden answers: BitmapFactory in the app, ImageIO in the tests. */
public interface GoldenDecoder {
    /** The pixels, neither scaled nor turned nor converted to another colour space. */
    DecodedImage decode(byte[] png) throws Exception;
}
