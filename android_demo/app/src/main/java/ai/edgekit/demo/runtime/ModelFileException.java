package ai.edgekit.demo.runtime;

/** A model file that is damaged, too large or not what it claims to be; the message is one line for the user. */
public class ModelFileException extends Exception {
    private static final long serialVersionUID = 1;

    public ModelFileException(String message) {
        super(message);
    }
}
