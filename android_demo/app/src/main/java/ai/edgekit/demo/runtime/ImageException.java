package ai.edgekit.demo.runtime;

/** A frame or picture that cannot be prepared: impossible strides, a plane that is too short, too extreme a shape. */
public final class ImageException extends IllegalArgumentException {
    private static final long serialVersionUID = 1;

    public ImageException(String message) {
        super(message);
    }
}
