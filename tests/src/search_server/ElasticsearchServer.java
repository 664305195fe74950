import java.util.List;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.transport.Netty4Plugin;

/** Elasticsearch without its scripts: each argument is a setting, NAME=VALUE. Runs until it is killed. */
public class ElasticsearchServer extends Node {
  private ElasticsearchServer(Environment environment) {
    super(environment, List.of(Netty4Plugin.class), false);
  }

  public static void main(String[] arguments) throws Exception {
    Settings.Builder settings = Settings.builder();
    for (String argument : arguments) {
      String[] pair = argument.split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    new ElasticsearchServer(InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), null, () -> "twm")).start();
    Thread.currentThread().join();
  }
}
